using ReadTwice.Evaluation;

namespace ReadTwice.Tests;

public class ScoresTests
{
    [Theory]
    [InlineData(" It was king EDWARD iii.", "King Edward III", true)]
    [InlineData("It costs $1,000 (est.) today", "$1,000 (EST.)", true)]
    [InlineData("It costs $1,000 est", "$1,000 (est.)", false)]
    [InlineData("abc", "a.c", false)]
    [InlineData("the  cat", "the cat", false)]
    [InlineData("cat", "the cat", false)]
    [InlineData("ÜBER", "über", true)]
    [InlineData("first line", "first line\nsecond", false)]
    [InlineData("", "x", false)]
    public void A_label_is_found_letter_for_letter_in_any_case(string prediction, string label, bool found) =>
        Assert.Equal(found, Scores.Contains(prediction, [label]));

    [Fact]
    public void Any_label_will_do() => Assert.True(Scores.Contains("in 1999", ["two thousand", "1999"]));

    [Fact]
    public void An_answer_cannot_be_judged_without_a_label() =>
        Assert.Throws<ArgumentException>(() => Scores.Contains("x", []));
}
