using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Evaluation;

/// <summary>How well a model foretells a text.</summary>
/// <remarks>A model that reads a prefix in both directions, and was trained to foretell only what follows, is given up to half of the text so.</remarks>
public static class NextTokenLoss
{
    private const int Piece = 512;   // tokens whose scores are held at once

    /// <summary>The mean of -ln p over every token after the first, or after the prefix and one more, in nats.</summary>
    /// <exception cref="ArgumentException">There are fewer than three tokens.</exception>
    public static double Of(ILanguageModel model, IReadOnlyList<int> tokens)
    {
        if (tokens.Count < 3) throw new ArgumentException($"The text has {tokens.Count} tokens; at least 3 are needed for one to be foretold.");
        using var inference = no_grad();
        using var state = model.NewState();
        int prefix = (int)Math.Min(model.EncoderLength, tokens.Count / 2);
        if (prefix > 0)
        {
            using var ids = tensor([.. tokens.Take(prefix).Select(id => (long)id)], [1, prefix]);
            model.Prefill(ids, state, prefix).Dispose();
        }
        double sum = 0;
        for (int at = prefix; at < tokens.Count - 1; at += Piece)
        {
            using var scope = NewDisposeScope();
            int n = Math.Min(Piece, tokens.Count - 1 - at);
            var ids = tensor([.. Enumerable.Range(at, n + 1).Select(i => (long)tokens[i])], [1, n + 1]);
            var logits = model.Logits(ids.narrow(1, 0, n), state).squeeze(0);                             // [n, vocabulary]
            sum += nn.functional.cross_entropy(logits, ids.narrow(1, 1, n).squeeze(0), reduction: nn.Reduction.Sum).item<float>();
        }
        return sum / (tokens.Count - 1 - prefix);
    }
}
