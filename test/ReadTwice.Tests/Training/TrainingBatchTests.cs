using ReadTwice.Training;

namespace ReadTwice.Tests.Training;

public sealed class TrainingBatchTests
{
    private const int Mask = 99;

    // Nine tokens, of which eight are read; the first four are the prefix.
    private static readonly TokenSequence sequence = TokenSequence.OfText([10, 0, 12, 13, 14, 15, 16, 17, 18], 4);

    [Fact]
    public void A_masked_token_is_replaced_by_the_mask_and_predicted_where_it_stood_even_if_its_id_is_0()
    {
        var batch = TrainingBatch.Lay([sequence], new(Objective.MaskedPrefix, Mask), new Chosen(1, 3));
        Assert.Equal([10, Mask, 12, Mask, 14, 15, 16, 17], batch.Tokens);
        Assert.Equal([new(1, 0, 1), new(3, 13, 1)], batch.Masked);
    }

    [Fact]
    public void Tokens_after_the_prefix_are_predicted_but_for_the_first_of_them()
    {
        var batch = TrainingBatch.Lay([sequence], new(Objective.MaskedPrefix, Mask), new Chosen());
        Assert.Equal([new(4, 15, 1), new(5, 16, 1), new(6, 17, 1), new(7, 18, 1)], batch.Next);
        Assert.Equal(4, batch.PrefixLength);
    }

    [Fact]
    public void Without_the_masked_objective_nothing_is_masked()
    {
        var batch = TrainingBatch.Lay([sequence], new(Objective.PrefixNextToken, Mask), new Chosen(0, 1, 2, 3));
        Assert.Empty(batch.Masked);
        Assert.Equal([10, 0, 12, 13, 14, 15, 16, 17], batch.Tokens);
    }

    [Fact]
    public void A_model_that_reads_left_to_right_predicts_every_token_from_the_second_on()
    {
        var batch = TrainingBatch.Lay([sequence], new(Objective.NextToken, Mask), new Chosen(0, 1, 2, 3));
        Assert.Equal(0, batch.PrefixLength);
        Assert.Equal(Enumerable.Range(0, 8).Select(t => new Label(t, sequence.Ids[t + 1], 1)), batch.Next);
    }

    [Fact]
    public void An_answer_is_predicted_from_the_last_token_of_the_prefix_on_and_has_its_weight()
    {
        var (T, A, P) = (TokenRole.Text, TokenRole.Answer, TokenRole.Padding);
        var batch = TrainingBatch.Lay([new(sequence.Ids, [T, T, T, T, A, A, P, P, T], 4)], new(Objective.MaskedPrefix, Mask) { AnswerWeight = 3 }, new Chosen());
        Assert.Equal([new(3, 14, 3, true), new(4, 15, 3, true), new(7, 18, 1)], batch.Next);
    }

    [Fact]
    public void What_an_answer_depends_on_is_never_masked()
    {
        var (T, K) = (TokenRole.Text, TokenRole.Kept);
        var batch = TrainingBatch.Lay([new(sequence.Ids, [T, K, K, T, T, T, T, T, T], 4)], new(Objective.MaskedPrefix, Mask), new Chosen(0, 1, 2));
        Assert.Equal([new(0, 10, 1)], batch.Masked);
    }

    [Fact]
    public void About_the_asked_part_of_the_prefix_is_masked()
    {
        var text = TokenSequence.OfText([.. Enumerable.Repeat(5, 2001)], 1000);
        var batch = TrainingBatch.Lay([text, text], new(Objective.MaskedPrefix, Mask) { MaskRate = 0.15 }, new Random(1));
        Assert.InRange(batch.Masked.Count, 240, 360);   // 300 expected, 16 the standard deviation
        Assert.All(batch.Masked, label => Assert.True(label.Position % 2000 < 1000));
    }

    [Fact]
    public void Sequences_of_two_shapes_make_no_batch() => Assert.Throws<ArgumentException>(
        () => TrainingBatch.Lay([sequence, TokenSequence.OfText([1, 2, 3], 1)], new(Objective.MaskedPrefix, Mask), new Chosen()));

    // Draws a number below any rate for the tokens named, above it for the others.
    private sealed class Chosen(params int[] tokens) : Random
    {
        private int drawn;

        public override double NextDouble() => tokens.Contains(drawn++) ? 0 : 0.999;
    }
}
