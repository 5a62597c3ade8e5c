using ReadTwice.Evaluation;
using ReadTwice.Evaluation.Tasks;

namespace ReadTwice.Tests;

/// <summary>Prompts computed by hand from the authors' rules, to the byte: the once form, then the twice form.</summary>
public class RecallTaskTests
{
    [Theory]
    [InlineData("Model: X-1", "maker", "Model: X-1. Maker:", "Information about Maker. Model: X-1.\nModel: X-1. Maker:")]
    [InlineData("word .", "k", "word . K:", "Information about K. word .\nword . K:")]
    [InlineData("\n..word..\n", "k", "word. K:", "Information about K. word.\nword. K:")]
    [InlineData("word.. ", "k", "word.. . K:", "Information about K. word.. .\nword.. . K:")]
    [InlineData("a\nb\n\nMaker:MAKER:maKer:", "maker", "a\nb. Maker:", "Information about Maker. a\nb.\na\nb. Maker:")]
    [InlineData("a maker: ", "maker", "a maker: . Maker:", "Information about Maker. a maker: .\na maker: . Maker:")]
    [InlineData("a 510(k) Number:", "510(k) number", "a . 510(k) number:", "Information about 510(k) number. a .\na . 510(k) number:")]
    [InlineData("a :b::", ":b:", "a . :b::", "Information about b. a .\na . :b::")]
    [InlineData("GRÖSSE:", "größe", "GRÖSSE:. Größe:", "Information about Größe. GRÖSSE:.\nGRÖSSE:. Größe:")]
    [InlineData("t", "ßa", "t. SSa:", "Information about SSa. t.\nt. SSa:")]
    [InlineData("t", "ﬁt", "t. FIt:", "Information about FIt. t.\nt. FIt:")]
    [InlineData("", "k", ". K:", "Information about K. .\n. K:")]
    public void Fda_continues_a_key(string text, string key, string once, string twice) =>
        AssertPrompts(Fda.Task, new(text, key, ["v"]), once, twice);

    [Theory]
    // İ is one character that lower-cases to two: the ending matches, and as many characters go as the key was written with.
    [InlineData("so i\u0307d:", "İd", "so i. İd:")]
    [InlineData("so İd:", "i\u0307d", "so. I\u0307d:")]
    // Σ at the end of a word lower-cases to another letter than within it.
    [InlineData("so οδος:", "ΟΔΟΣ", "so . ΟΔΟΣ:")]
    [InlineData("so οδοσ:", "ΟΔΟΣ", "so οδοσ:. ΟΔΟΣ:")]
    [InlineData("so σας:", "ΣΑΣ", "so . ΣΑΣ:")]
    [InlineData("so 𐐨b:", "𐐀B", "so . 𐐀B:")]
    public void Letters_change_case_as_they_do_in_the_authors_language(string text, string key, string once) =>
        Assert.Equal(once, Fda.Task.Prompt(new(text, key, ["v"]), Reading.Once));

    [Theory]
    [InlineData("word .", "k", "word . K:", "Information about K. word.\nword. K:")]
    [InlineData("word.. ", "k", "word. K:", "Information about K. word..\nword.. K:")]
    [InlineData(" \n\t a\nb \n ", "year", "a\nb. Year:", "Information about Year. a\nb.\na\nb. Year:")]
    [InlineData("A film. Summary of information above...\nyear:", "year", "A film. Year:", "Information about Year. A film.\nA film. Year:")]
    [InlineData("A film YEAR:year:Summary of information above...", "year", "A film. Year:", "Information about Year. A film.\nA film. Year:")]
    [InlineData("\u001Ca\u00A0", "k", "a. K:", "Information about K. a.\na. K:")]
    public void Swde_continues_a_key_and_leaves_the_summary_out(string text, string key, string once, string twice) =>
        AssertPrompts(Swde.Task, new(text, key, ["v"]), once, twice);

    [Theory]
    [InlineData(" It rained. ", " The weather was ", "It rained. The weather was", "How? It rained.\nIt rained. The weather was")]
    [InlineData("word .", "q is", "word . q is", "How? word.\nword. q is")]
    [InlineData("a. q isq is", "q is", "a. q is. q is", "How? a.\na. q is")]
    [InlineData("a. q is q is", "q is", "a. q is. q is", "How? a. q is.\na. q is. q is")]
    [InlineData("a. Q IS", "q is", "a. Q IS. q is", "How? a.\na. q is")]
    [InlineData("..a..", "q", "a. q", "How? a.\na. q")]
    [InlineData("[PAR] a", "q", "[PAR] a. q", "How? [PAR] a.\n[PAR] a. q")]
    public void Nq_continues_a_statement_and_asks_before_the_first_copy(string context, string question, string once, string twice) =>
        AssertPrompts(NaturalQuestions.Task, new(context, question, ["v"]) { OriginalQuestion = ":How?:" }, once, twice);

    [Theory]
    [InlineData("word .", "q is", "word . q is", "How? word.\nword. q is")]
    [InlineData("a. q isQ IS", "q is", "a. q is", "How? a.\na. q is")]
    [InlineData("a. Q IS ", " q is", "a. q is", "How? a.\na. q is")]
    public void Drop_leaves_out_a_repeated_statement_in_any_case(string context, string question, string once, string twice) =>
        AssertPrompts(Drop.Task, new(context, question, ["v"]) { OriginalQuestion = "How?:" }, once, twice);

    [Theory]
    [InlineData("[DOC] [TLE] Rain [PAR]fell.", "It is", "Rain fell. It is", ":How?: Rain fell.\nRain fell. It is")]
    [InlineData("a[PAR]b [par]", "It is", "ab [par]. It is", ":How?: ab [par].\nab [par]. It is")]
    [InlineData("a [D[PAR]OC]", "It is", "a [DOC]. It is", ":How?: a [DOC].\na [DOC]. It is")]
    [InlineData("a It is[PAR]", "It is", "a. It is", ":How?: a.\na. It is")]
    public void Trivia_loses_its_marks_and_keeps_its_question_as_it_is(string context, string question, string once, string twice) =>
        AssertPrompts(TriviaQa.Task, new(context, question, ["v"]) { OriginalQuestion = ":How?:" }, once, twice);

    [Theory]
    [InlineData(" Rain fell. It was ", "Rain fell. ", "Rain fell. It was", "How? Rain fell. \nRain fell. It was")]
    [InlineData("T: Rain.\nQuestion: It", "T: Rain.\nQuestion: How? Question: x", "T: Rain.\nQuestion: It", "How? T: Rain.\n\nT: Rain.\nQuestion: It")]
    public void Squad_ends_with_its_statement_and_copies_its_context(string text, string context, string once, string twice) =>
        AssertPrompts(Squad.Task, new(text, "How?", ["v"]) { Context = context }, once, twice);

    [Theory]
    [InlineData("fda", "Information about K. a.\na.\na. K:", "Information about K. a. K:")]
    [InlineData("swde", "Information about K. a.\na.\na. K:", "Information about K. a. K:")]
    [InlineData("nq", "How? a.\na.\na. k", "How? a. k")]
    [InlineData("drop", "How? a.\na.\na. k", "How? a. k")]
    [InlineData("triviaqa", "How? a.\na.\na. k", "How? a. k")]
    [InlineData("squad", "k c\nc\na", "k a")]
    public void More_copies_go_on_a_line_each_and_question_first_is_the_twice_form_with_one(string name, string thrice, string first)
    {
        var task = RecallTasks.Named(name);
        var example = new RecallExample("a", "k", ["v"]) { OriginalQuestion = "How?", Context = "c" };
        Assert.Equal(thrice, task.Prompt(example, new Reading(3)));
        Assert.Equal(first, task.Prompt(example, new Reading(1, QuestionFirst: true)));
        Assert.Equal(task.Prompt(example, Reading.Twice), task.Prompt(example, new Reading(2, QuestionFirst: true)));
    }

    [Fact]
    public void An_empty_question_is_refused_rather_than_looked_for_forever()
    {
        foreach (var task in RecallTasks.All.Where(task => task.Name != "squad"))
            foreach (var reading in new[] { Reading.Once, Reading.Twice })
                Assert.Contains("is empty: drop the example.",
                    Assert.Throws<ArgumentException>(() => task.Prompt(new("a", "", ["v"]), reading)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => Drop.Task.Prompt(new("a", " \u001F", ["v"]), Reading.Once));
    }

    [Fact]
    public void A_task_that_is_not_known_is_refused_with_the_list_of_those_that_are() =>
        Assert.StartsWith("task \"fdb\" is not known. Known: swde, fda, squad, drop, nq, triviaqa.",
            Assert.Throws<ArgumentException>(() => RecallTasks.Named("fdb")).Message, StringComparison.Ordinal);

    private static void AssertPrompts(RecallTask task, RecallExample example, string once, string twice)
    {
        Assert.Equal(once, task.Prompt(example, Reading.Once));
        Assert.Equal(twice, task.Prompt(example, Reading.Twice));
    }
}
