namespace ReadTwice.Tests.Generation;

public sealed class SamplerTests
{
    private static readonly float[] scores = [1, 4, 3, 4, -2];

    [Fact]
    public void The_first_of_the_highest_scores_is_taken_by_default() => Assert.Equal(1, new Sampler(Sampling.Greedy).Next(scores));

    [Fact]
    public void A_score_that_is_no_number_is_never_chosen()
    {
        Assert.Equal(2, new Sampler(Sampling.Greedy).Next([float.NaN, 1, 2]));
        foreach (int seed in Enumerable.Range(0, 50))
            Assert.NotEqual(0, new Sampler(new() { Temperature = 2, Seed = seed }).Next([float.NaN, 1, 2]));
        Assert.Contains("None of the 2 scores", Assert.Throws<ArgumentException>(() => new Sampler(Sampling.Greedy).Next([float.NaN, float.NaN])).Message);
    }

    [Fact]
    public void Tokens_are_drawn_as_often_as_their_probability_says()
    {
        const int Draws = 20_000;
        var sampler = new Sampler(new() { Temperature = 0.5, Seed = 7 });
        float[] logits = [0, 1, 0.5f];
        double[] weights = [1, Math.Exp(2), Math.Exp(1)];
        var counts = new int[3];
        for (int i = 0; i < Draws; i++) counts[sampler.Next(logits)]++;
        for (int i = 0; i < 3; i++)
        {
            double p = weights[i] / weights.Sum();
            // Five standard deviations of a binomial count.
            Assert.InRange(counts[i], Draws * p - 5 * Math.Sqrt(Draws * p), Draws * p + 5 * Math.Sqrt(Draws * p));
        }
    }

    [Fact]
    public void The_same_seed_draws_the_same_tokens_and_another_seed_others()
    {
        int[] Draw(int seed)
        {
            var sampler = new Sampler(new() { Temperature = 1, Seed = seed });
            return [.. Enumerable.Range(0, 40).Select(_ => sampler.Next(scores))];
        }

        Assert.Equal(Draw(3), Draw(3));
        Assert.NotEqual(Draw(3), Draw(4));
    }

    [Theory]
    [InlineData(2, 1.0, 0.0, new[] { 1, 3 })]          // the two highest
    [InlineData(3, 1.0, 0.0, new[] { 1, 2, 3 })]
    [InlineData(0, 0.5, 0.0, new[] { 1, 3 })]          // 0.41 and 0.41 reach a half together
    [InlineData(0, 0.4, 0.0, new[] { 1 })]             // the first alone reaches it
    [InlineData(0, 1.0, 0.3, new[] { 1, 2, 3 })]       // e^-1 = 0.37 is at least 0.3 of the highest, e^-3 is not
    [InlineData(0, 1.0, 0.5, new[] { 1, 3 })]
    [InlineData(0, 1.0, 1.0, new[] { 1, 3 })]
    public void Only_the_tokens_that_the_limits_leave_are_drawn(int topK, double topP, double minP, int[] left)
    {
        var sampler = new Sampler(new() { Temperature = 1, TopK = topK, TopP = topP, MinP = minP, Seed = 1 });
        var drawn = new SortedSet<int>();
        for (int i = 0; i < 2_000; i++) drawn.Add(sampler.Next(scores));
        Assert.Equal(left, drawn);
    }

    [Fact]
    public void A_repetition_penalty_makes_what_occurred_less_likely_whatever_the_sign_of_its_score()
    {
        var positive = new Sampler(new() { RepetitionPenalty = 2 });
        Assert.Equal(1, positive.Next([3, 4, 1]));
        Assert.Equal(0, positive.Next([3, 4, 1]));   // 4 / 2 is below 3
        Assert.Equal(1, positive.Next([3, 4, 1]));   // 3 / 2 is below 4 / 2

        var negative = new Sampler(new() { RepetitionPenalty = 2 });
        negative.See([0]);
        Assert.Equal(1, negative.Next([-1, -1.5f]));
    }

    [Theory]
    [InlineData(-1, 0, 1, 0, 1, "Temperature is -1")]
    [InlineData(1, -1, 1, 0, 1, "TopK is -1")]
    [InlineData(1, 0, 0, 0, 1, "TopP is 0")]
    [InlineData(1, 0, 1, 2, 1, "MinP is 2")]
    [InlineData(1, 0, 1, 0, 0, "RepetitionPenalty is 0")]
    public void A_setting_outside_its_range_is_refused_by_name(double temperature, int topK, double topP, double minP, double penalty, string message)
    {
        var sampling = new Sampling { Temperature = temperature, TopK = topK, TopP = topP, MinP = minP, RepetitionPenalty = penalty };
        Assert.StartsWith(message, Assert.Throws<ArgumentException>(() => new Sampler(sampling)).Message, StringComparison.Ordinal);
    }
}
