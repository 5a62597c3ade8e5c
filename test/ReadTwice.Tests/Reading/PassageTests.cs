namespace ReadTwice.Tests;

public class PassageTests
{
    private static readonly Passage passage = new("Snow fell.\nIt was cold.", "What fell?\nAnswer:");

    [Theory]
    [InlineData("once", "Snow fell.\nIt was cold.\nWhat fell?\nAnswer:")]
    [InlineData("twice", "Snow fell.\nIt was cold.\nSnow fell.\nIt was cold.\nWhat fell?\nAnswer:")]
    [InlineData("3x", "Snow fell.\nIt was cold.\nSnow fell.\nIt was cold.\nSnow fell.\nIt was cold.\nWhat fell?\nAnswer:")]
    [InlineData("question-first", "What fell?\nAnswer:\nSnow fell.\nIt was cold.\nWhat fell?\nAnswer:")]
    [InlineData("twice,question-first",
        "What fell?\nAnswer:\nSnow fell.\nIt was cold.\nSnow fell.\nIt was cold.\nWhat fell?\nAnswer:")]
    public void A_passage_is_laid_as_its_reading_says(string reading, string text) =>
        Assert.Equal(text, passage.Lay(Reading.Parse(reading)));

    [Fact]
    public void A_lead_in_stands_once_before_everything()
    {
        var led = passage with { Document = "Snow.", Question = "It fell:", LeadIn = "About weather.\n" };
        Assert.Equal("About weather.\nSnow.\nSnow.\nIt fell:", led.Lay(Reading.Twice));
        Assert.Equal("About weather.\nIt fell:\nSnow.\nIt fell:", led.Lay(new Reading(1, QuestionFirst: true)));
    }

    [Fact]
    public void One_line_break_stands_between_two_parts_however_the_document_ends()
    {
        Assert.Equal("a\nb\na\nb\n q ", new Passage("\r\na\nb\r\n\n", " q ").Lay(Reading.Twice));
        Assert.Equal("  a \n  a \nq", new Passage("  a ", "q").Lay(Reading.Twice));
    }

    [Theory]
    [InlineData("once", "")]
    [InlineData("twice", "About weather.")]
    [InlineData("4x", "About weather.\n")]
    public void What_is_read_in_advance_and_the_question_after_it_are_the_whole(string reading, string leadIn)
    {
        var led = passage with { LeadIn = leadIn };
        Assert.Equal(
            led.Lay(Reading.Parse(reading)),
            Passage.LayDocument(led.Document, Reading.Parse(reading), leadIn) + Passage.LayQuestion(led.Question));
    }

    [Fact]
    public void A_document_that_comes_after_its_question_cannot_be_read_in_advance()
    {
        var refused = Assert.Throws<ArgumentException>(() => Passage.LayDocument("Snow.", Reading.Parse("twice,question-first")));
        Assert.StartsWith("twice,question-first lays the question before the document: ", refused.Message, StringComparison.Ordinal);
        Assert.Contains("needs twice.", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_question_may_be_longer_than_its_document()
    {
        string question = string.Concat(Enumerable.Repeat("Is it? ", 100));
        Assert.Equal("Yes.\n" + question, new Passage("Yes.", question).Lay(Reading.Once));
    }

    [Theory]
    [InlineData("", "q", "document")]
    [InlineData(" \n\t", "q", "document")]
    [InlineData("d", "", "question")]
    [InlineData("d", "  ", "question")]
    public void An_empty_document_or_question_is_refused(string document, string question, string named)
    {
        string message = Assert.Throws<ArgumentException>(() => new Passage(document, question)).Message;
        Assert.StartsWith($"the {named} is empty: ", message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
        Assert.Throws<ArgumentException>(() =>
            (new Passage("d", "q") with { Document = document, Question = question }).Lay(new Reading(1, QuestionFirst: true)));
    }
}
