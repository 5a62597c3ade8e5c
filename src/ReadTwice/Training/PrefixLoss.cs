using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Training;

/// <summary>What a batch's loss is made of.</summary>
/// <param name="Next">Mean loss of the next tokens, by their weights.</param>
/// <param name="Masked">Mean loss of the masked tokens; 0 where there is none.</param>
/// <param name="Answers">Mean loss of the answers' tokens alone; 0 where there is none.</param>
/// <param name="AnswerTokens">How many tokens are part of an answer.</param>
/// <param name="AnswersRight">How many of them the model thinks likeliest.</param>
public sealed record LossParts(double Next, double Masked, double Answers, int AnswerTokens, int AnswersRight);

/// <summary>The loss of JRT-RNN (arXiv 2407.05483): next tokens after the prefix, and the prefix's masked tokens with a weight.</summary>
/// <remarks>The authors' paper divides by the sum of the weights, their code does not; this does not.</remarks>
public static class PrefixLoss
{
    /// <summary>The loss of a batch, with its gradient's graph where gradients are on.</summary>
    /// <param name="model">Scores the batch.</param>
    /// <param name="batch">Tokens and labels.</param>
    /// <param name="maskWeight">The weight of the masked tokens' mean.</param>
    public static (Tensor Loss, LossParts Parts) Of(LanguageModel model, TrainingBatch batch, double maskWeight)
    {
        using var scope = NewDisposeScope();
        var tokens = tensor(batch.Tokens, [batch.B, batch.T]);
        long prefix = model.EncoderLength == 0 ? 0 : batch.PrefixLength;
        var (loss, parts) = Of(positions => model.LogitsAt(tokens, prefix, positions), batch, maskWeight);
        return (loss.MoveToOuterDisposeScope(), parts);
    }

    /// <summary>The same from any scores: those of positions, [n] indices into B·T -> [n, vocabulary].</summary>
    internal static (Tensor Loss, LossParts Parts) Of(Func<Tensor, Tensor> logitsAt, TrainingBatch batch, double maskWeight)
    {
        using var scope = NewDisposeScope();
        Label[] labels = [.. batch.Next, .. batch.Masked];
        if (labels.Length == 0) throw new ArgumentException("The batch has nothing to predict; sequences with text after the prefix are needed.");
        var logits = logitsAt(tensor([.. labels.Select(label => label.Position)]));
        var right = tensor([.. labels.Select(label => label.Id)], device: logits.device);
        var losses = nn.functional.cross_entropy(logits, right, reduction: nn.Reduction.None);                  // [n]

        int n = batch.Next.Count, m = batch.Masked.Count;
        var next = Mean(losses.narrow(0, 0, n), [.. batch.Next.Select(label => label.Weight)]);
        var masked = Mean(losses.narrow(0, n, m), [.. batch.Masked.Select(label => label.Weight)]);
        var loss = next.Plus(masked * Number(maskWeight));

        using var inference = no_grad();
        float[] answers = [.. labels.Select(label => label.IsAnswer ? 1f : 0f)];
        int count = answers.Count(answer => answer > 0);
        int hits = count == 0 ? 0 : (int)(logits.argmax(1).eq(right).to(ScalarType.Float32) * tensor(answers, device: logits.device)).sum().item<float>();
        var parts = new LossParts(Value(next), Value(masked), Value(Mean(losses, answers)), count, hits);
        return (loss.MoveToOuterDisposeScope(), parts);
    }

    // The mean of none is defined as 0: a small batch may have nothing masked.
    private static Tensor Mean(Tensor losses, float[] weights)
    {
        float sum = weights.Sum();
        return sum == 0 ? zeros(1, device: losses.device).squeeze() : (losses * tensor(weights, device: losses.device)).sum() / tensor(sum, device: losses.device);
    }

    private static double Value(Tensor loss) => loss.item<float>();
}
