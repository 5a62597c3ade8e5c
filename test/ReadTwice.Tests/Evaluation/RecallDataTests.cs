using System.IO.Compression;
using System.Text;
using ReadTwice.Evaluation;
using ReadTwice.Evaluation.Tasks;

namespace ReadTwice.Tests;

public sealed class RecallDataTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("recall-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Fields_become_an_example()
    {
        var fda = Assert.Single(Fda.Task.Load(Lines("""{"doc_id": "K1", "text": "a\u2028b", "key": "measurand", "value": "DNA", "file_name": "x"}""")));
        Assert.Equal(("K1", "a\u2028b", "measurand", "DNA"), (fda.Id, fda.Document, fda.Question, fda.Answers[0]));

        var nq = Assert.Single(NaturalQuestions.Task.Load(Lines(
            """{"context": "c", "question": "It is", "orig_question": "What?", "answers": ["x", "y"], "alt_answers": ["z"], "tok_pos": 7}""")));
        Assert.Equal(("c", "It is", "What?", 7), (nq.Document, nq.Question, nq.OriginalQuestion, nq.AnswerToken));
        Assert.Equal(["x", "y"], nq.Answers);
        Assert.Equal(["z"], nq.OtherAnswers);

        var squad = Assert.Single(Squad.Task.Load(Lines("""{"text": "c It is", "context": "c", "question": "What?", "value": "x", "doc_id": "3"}""")));
        Assert.Equal(("c It is", "c", "What?", "x", "3"), (squad.Document, squad.Context, squad.Question, squad.Answers[0], squad.Id));
    }

    [Fact]
    public void Of_a_web_page_the_part_before_the_summary_is_read()
    {
        var page = Assert.Single(Swde.Task.Load(Lines("""{"text": "a\nSummary of information above...\nb", "key": "k", "value": "v"}""")));
        Assert.Equal("a\n", page.Document);
        Assert.Contains("holds \"Summary of information above...\" 2 times", Refusal(Swde.Task,
            """{"text": "Summary of information above... Summary of information above...", "key": "k", "value": "v"}"""), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("fda", """{"text": "a", "key": "k"}""", "field \"value\" is missing; the line has text, key.")]
    [InlineData("swde", """{"text": "a", "value": "k"}""", "field \"key\" is missing; the line has text, value.")]
    [InlineData("squad", """{"text": "a", "question": "q", "value": "v"}""", "field \"context\" is missing; the line has text, question, value.")]
    [InlineData("drop", """{"passage": "a", "question": "q", "answers": ["v"]}""", "field \"context\" is missing; the line has passage, question, answers.")]
    [InlineData("triviaqa", """{"context": "a", "question": "q", "answers": ["v"]}""", "field \"orig_question\" is missing; the line has context, question, answers.")]
    [InlineData("nq", """{"context": "a", "question": "q", "orig_question": "o", "answers": []}""", "field \"answers\" is an empty list; one answer at least is needed.")]
    [InlineData("nq", """{"context": "a", "question": " ", "orig_question": "o", "answers": ["v"]}""", "field \"question\" is empty; text is needed.")]
    [InlineData("nq", """{"context": "a", "question": "q", "orig_question": "o", "answers": "v"}""", "field \"answers\" is a text; a list of texts is needed.")]
    [InlineData("nq", """{"context": "a", "question": "q", "orig_question": "o", "answers": [1]}""", "field \"answers\" is or holds a number; text is needed.")]
    [InlineData("nq", """{"context": "a", "question": "q", "orig_question": "o", "answers": ["v"], "tok_pos": 1.5}""", "field \"tok_pos\" is a number; a whole number is needed.")]
    [InlineData("fda", """{"text": null, "key": "k", "value": "v"}""", "field \"text\" is missing; the line has text, key, value.")]
    [InlineData("fda", """{"text": "\ud800", "key": "k", "value": "v"}""", "field \"text\" holds half a character (a lone surrogate); write it whole.")]
    [InlineData("fda", "[1]", "a list was found; a JSON object is needed.")]
    public void A_line_that_lacks_what_its_task_needs_is_refused_by_file_and_number(string task, string line, string complaint) =>
        Assert.EndsWith($"data.jsonl, line 3: {complaint}", Refusal(RecallTasks.Named(task), "\n\n" + line), StringComparison.Ordinal);

    [Fact]
    public void What_is_no_json_no_text_or_no_file_is_refused()
    {
        Assert.Contains("line 1: no JSON object", Refusal(Fda.Task, "{\"text\": "), StringComparison.Ordinal);
        File.WriteAllBytes(Path.Combine(folder, "latin.jsonl"), [(byte)'"', 0xE9, (byte)'"']);
        Assert.Contains("not UTF-8", Assert.Throws<InvalidDataException>(() => Fda.Task.Load(Path.Combine(folder, "latin.jsonl")).Count()).Message, StringComparison.Ordinal);
        File.WriteAllText(Path.Combine(folder, "plain.jsonl.gz"), "{}");
        Assert.Contains("damaged", Assert.Throws<InvalidDataException>(() => Fda.Task.Load(Path.Combine(folder, "plain.jsonl.gz")).Count()).Message, StringComparison.Ordinal);
        Assert.Throws<FileNotFoundException>(() => Fda.Task.Load(Path.Combine(folder, "none.jsonl")));
    }

    [Fact]
    public void Labels_find_their_documents_in_another_file_packed_or_not()
    {
        string documents = Path.Combine(folder, "docs.jsonl.gz");
        using (var packed = new GZipStream(File.Create(documents), CompressionLevel.Fastest))
            packed.Write("{\"doc_id\": \"1\", \"text\": \"one\"}\n{\"doc_id\": \"2\", \"text\": \"two\"}\n"u8);
        string labels = Lines("""{"doc_id": "2", "key": "a", "value": "x"}""", """{"doc_id": "1", "key": "b", "value": "y"}""");
        Assert.Equal([("two", "a", "2"), ("one", "b", "1")], Fda.Load(documents, labels).Select(e => (e.Document, e.Question, e.Id)));

        string stray = Lines("""{"doc_id": "3", "key": "a", "value": "x"}""");
        Assert.Contains($"document 3 is not in {documents}",
            Assert.Throws<InvalidDataException>(() => Fda.Load(documents, stray).Count()).Message, StringComparison.Ordinal);
        string doubled = Lines("""{"doc_id": "1", "text": "x"}""", """{"doc_id": "1", "text": "y"}""");
        Assert.Contains("line 2: doc_id 1 is there a second time",
            Assert.Throws<InvalidDataException>(() => Fda.Load(doubled, labels).Count()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_device_summaries_load_and_every_value_stands_in_its_document()
    {
        var examples = Fda.Load(
            Shared.Path("data", "fda", "fda-510k-docs-visible.jsonl.gz"), Shared.Path("data", "fda", "fda-510k-labels-visible.jsonl")).ToList();
        Assert.Equal(3621, examples.Count);
        Assert.All(examples, example => Assert.True(Scores.Contains(example.Document, example.Answers)));
    }

    private string Lines(params string[] lines)
    {
        string path = Path.Combine(folder, "data.jsonl");
        File.WriteAllLines(path, lines, new UTF8Encoding(false));
        return path;
    }

    private string Refusal(RecallTask task, string text)
    {
        string message = Assert.Throws<InvalidDataException>(() => task.Load(Lines(text)).Count()).Message;
        Assert.DoesNotContain('\n', message);
        return message;
    }
}
