using ReadTwice.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Training;

public sealed class PrefixLossTests : IDisposable
{
    private const int Vocabulary = 11, Mask = 10;
    private readonly DisposeScope scope = NewDisposeScope();
    private readonly Tensor guard;

    public PrefixLossTests()
    {
        Native.Libtorch.Threads = 1;
        guard = zeros(1);
    }

    public void Dispose()
    {
        guard.Dispose();
        scope.Dispose();
    }

    [Fact]
    public void The_loss_is_the_mean_of_the_next_tokens_and_a_quarter_of_the_mean_of_the_masked()
    {
        var batch = Batch();
        var logits = Scores(batch);
        var (loss, parts) = PrefixLoss.Of(positions => logits.index_select(0, positions), batch, 0.25);

        double Of(Label label)
        {
            float[] row = logits[label.Position].data<float>().ToArray();
            return -(row[label.Id] - Math.Log(row.Sum(score => Math.Exp(score))));
        }
        double next = batch.Next.Sum(label => label.Weight * Of(label)) / batch.Next.Sum(label => label.Weight), masked = batch.Masked.Average(Of);
        Assert.Equal(next, parts.Next, 5);
        Assert.Equal(masked, parts.Masked, 5);
        Assert.Equal(next + 0.25 * masked, loss.item<float>(), 5);
        Assert.Equal(batch.Next.Where(label => label.IsAnswer).Average(Of), parts.Answers, 5);
    }

    [Fact]
    public void Scores_at_the_last_token_of_the_prefix_and_at_its_unmasked_tokens_get_no_gradient()
    {
        var batch = Batch();
        var logits = Scores(batch).requires_grad_();
        PrefixLoss.Of(positions => logits.index_select(0, positions), batch, 0.25).Loss.backward();
        float[] sizes = logits.grad!.abs().sum(1).data<float>().ToArray();
        var labelled = batch.Next.Concat(batch.Masked).Select(label => (int)label.Position).ToHashSet();
        Assert.DoesNotContain(batch.PrefixLength - 1, labelled.Except(batch.Masked.Select(label => (int)label.Position)));
        for (int p = 0; p < sizes.Length; p++) Assert.Equal(labelled.Contains(p), sizes[p] > 0);
    }

    [Fact]
    public void Where_nothing_is_masked_the_masked_part_is_0()
    {
        var batch = TrainingBatch.Lay([Sequence(8)], new(Objective.MaskedPrefix, Mask) { MaskRate = 0 }, new Random(1));
        var logits = Scores(batch);
        var (loss, parts) = PrefixLoss.Of(positions => logits.index_select(0, positions), batch, 0.25);
        Assert.Equal(0, parts.Masked);
        Assert.Equal(parts.Next, loss.item<float>(), 6);
    }

    [Fact]
    public void Answers_that_are_likeliest_are_counted()
    {
        var batch = Batch();
        var logits = zeros(batch.B * batch.T, Vocabulary);
        var answers = batch.Next.Where(label => label.IsAnswer).ToList();
        foreach (var label in answers.Skip(1)) logits[label.Position, label.Id] = 5;
        foreach (var label in answers.Take(1)) logits[label.Position, (label.Id + 1) % Vocabulary] = 5;
        var (_, parts) = PrefixLoss.Of(positions => logits.index_select(0, positions), batch, 0.25);
        Assert.Equal((answers.Count, answers.Count - 1), (parts.AnswerTokens, parts.AnswersRight));
    }

    [Fact]
    public void The_chosen_positions_of_a_model_score_as_all_of_them_do()
    {
        using var checkpoint = TestModels.Of("HazyResearch JRT-RNN");
        var model = checkpoint.Model;
        using var inference = no_grad();
        var tokens = TestModels.Tokens(model, 2, 20, seed: 5);
        using var state = model.NewState(2);
        var all = model.Logits(tokens, state, 9).flatten(0, 1);
        var positions = tensor(new long[] { 3, 8, 19, 20, 39 });
        Near.Equal(all.index_select(0, positions), model.LogitsAt(tokens, 9, positions));
    }

    private static TokenSequence Sequence(int prefix)
    {
        int[] ids = [.. Enumerable.Range(0, 17).Select(i => i * 7 % 10)];
        return new(ids, [.. ids.Select((_, i) => i >= 12 ? TokenRole.Answer : TokenRole.Text)], prefix);
    }

    private static TrainingBatch Batch() =>
        TrainingBatch.Lay([Sequence(8), Sequence(8)], new(Objective.MaskedPrefix, Mask) { MaskRate = 0.5, AnswerWeight = 3 }, new Random(2));

    private static Tensor Scores(TrainingBatch batch)
    {
        manual_seed(4);
        return randn(batch.B * batch.T, Vocabulary) * 2;
    }
}
