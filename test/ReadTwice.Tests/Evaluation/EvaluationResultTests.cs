using ReadTwice.Evaluation;

namespace ReadTwice.Tests.Evaluation;

public sealed class EvaluationResultTests
{
    [Fact]
    public void Each_condition_has_its_mean_in_percent_and_that_of_each_question()
    {
        var scores = EvaluationResult.Score("m", [
            Made("once", 512, 0, "panel", 1), Made("once", 512, 1, "panel", 0), Made("once", 512, 2, "applicant", 1), Made("twice", 512, 0, "panel", 1)]);
        Assert.Equal([("once", 200.0 / 3, 3), ("twice", 100, 1)], scores.Select(score => (score.Reading, score.Score.Mean, score.Score.Count)));
        Assert.Equal((100.0, 50.0), (scores[0].ByQuestion["applicant"], scores[0].ByQuestion["panel"]));
        Assert.Empty(scores[1].ByQuestion);
    }

    [Fact]
    public void Differences_are_of_the_same_examples_whatever_else_either_has()
    {
        var difference = EvaluationResult.Difference(
            [Made("twice", 512, 0, "q", 1), Made("twice", 512, 1, "q", 1), Made("twice", 512, 7, "q", 0)],
            [Made("once", 512, 1, "q", 0), Made("once", 512, 0, "q", 1), Made("once", 512, 5, "q", 1)]);
        Assert.Equal((2, 50.0), (difference.Count, difference.Mean));
    }

    [Fact]
    public void Readings_of_a_model_and_models_under_a_reading_are_compared_at_each_context_length()
    {
        Prediction[] all = [.. from reading in (string[])["once", "twice"] from context in (int[])[512, 1024] select Made(reading, context, 0, "q", 1)];
        var differences = EvaluationResult.Differences([("a", all), ("b", all)]);
        Assert.Equal(
            ["a twice > a once 1024", "a twice > a once 512", "b once > a once 1024", "b once > a once 512",
             "b twice > a twice 1024", "b twice > a twice 512", "b twice > b once 1024", "b twice > b once 512"],
            differences.Select(pair => $"{pair.Better} > {pair.Than} {pair.ContextLength}").Order(StringComparer.Ordinal));
    }

    private static Prediction Made(string reading, int context, int example, string question, double score) =>
        new(reading, context, example, $"d{example}", question, ["a"], "", 1, score);
}
