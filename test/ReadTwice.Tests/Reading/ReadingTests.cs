namespace ReadTwice.Tests;

public class ReadingTests
{
    [Theory]
    [InlineData("once", 1, false)]
    [InlineData("1", 1, false)]
    [InlineData("twice", 2, false)]
    [InlineData("Twice ", 2, false)]
    [InlineData("thrice", 3, false)]
    [InlineData("3", 3, false)]
    [InlineData("3x", 3, false)]
    [InlineData("100X", 100, false)]
    [InlineData("question-first", 1, true)]
    [InlineData("twice,question-first", 2, true)]
    [InlineData("Question-First, 4x", 4, true)]
    public void A_reading_is_a_number_of_times_the_word_question_first_or_both(string text, int times, bool questionFirst) =>
        Assert.Equal(new Reading(times, questionFirst), Reading.Parse(text));

    [Theory]
    [InlineData("")]
    [InlineData("0")]
    [InlineData("101")]
    [InlineData("-1")]
    [InlineData("+2")]
    [InlineData("x")]
    [InlineData("2xx")]
    [InlineData("four")]
    [InlineData("once,twice")]
    [InlineData("twice,")]
    [InlineData("question-first,question-first")]
    [InlineData("99999999999999999999")]
    public void What_is_no_reading_is_refused_in_one_line_that_names_it(string text)
    {
        Assert.False(Reading.TryParse(text, out _));
        string message = Assert.Throws<FormatException>(() => Reading.Parse(text)).Message;
        Assert.Contains($"\"{text}\"", message, StringComparison.Ordinal);
        Assert.Contains("twice,question-first", message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }

    [Fact]
    public void What_a_reading_is_called_is_what_it_is_parsed_from()
    {
        Assert.Equal("once", Reading.Once.ToString());
        Assert.Equal("twice", Reading.Twice.ToString());
        Assert.Equal("3x,question-first", new Reading(3, true).ToString());
        for (int times = 1; times <= Reading.MostTimes; times++)
            foreach (bool questionFirst in new[] { false, true })
                Assert.Equal(new Reading(times, questionFirst), Reading.Parse(new Reading(times, questionFirst).ToString()));
    }

    [Fact]
    public void A_reading_left_unset_is_once() => Assert.Equal(Reading.Once, default);

    [Fact]
    public void No_reading_has_fewer_than_one_copy_or_more_than_the_most()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new Reading(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Reading(Reading.MostTimes + 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => Reading.Twice with { Times = -1 });
        Assert.Equal(new Reading(5), Reading.Twice with { Times = 5 });
    }
}
