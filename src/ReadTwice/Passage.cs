namespace ReadTwice;

/// <summary>A document, the question asked of it, and a line that leads into it: the text a model is given.</summary>
/// <remarks>
/// <see cref="Lay"/> writes, a line each: the lead-in where there is one, the question where it comes first, every copy of the
/// document, the question. Line breaks around a document and a lead-in are dropped, so exactly one stands between
/// any two parts; a question is laid as it is written, and may end where its answer goes on ("The capital is").
/// </remarks>
/// <exception cref="ArgumentException">The document or the question is empty.</exception>
public sealed record Passage(string Document, string Question, string LeadIn = "")
{
    /// <summary>What is read.</summary>
    public string Document { get; init; } = Required(Document, "document");

    /// <summary>What is asked, or the words that the answer continues.</summary>
    public string Question { get; init; } = Required(Question, "question");

    /// <summary>The text of the document's part alone: what a model can read before anyone asks, and keep as a state.</summary>
    /// <remarks>It ends with a line break; <see cref="LayQuestion"/> goes after it.</remarks>
    /// <exception cref="ArgumentException">The document is empty, or the reading puts the question first.</exception>
    public static string LayDocument(string document, Reading reading, string leadIn = "") => reading.QuestionFirst
        ? throw new ArgumentException(
            $"{reading} lays the question before the document: a document read in advance needs {reading with { QuestionFirst = false }}.",
            nameof(reading))
        : Line(leadIn) + Copies(document, reading);

    /// <summary>The text that goes after the document's part, for each question asked of it.</summary>
    /// <exception cref="ArgumentException">The question is empty.</exception>
    public static string LayQuestion(string question) => Required(question, "question");

    /// <summary>The whole text, to its last word before the answer.</summary>
    /// <remarks>
    /// Where the question does not come first it is <see cref="LayDocument"/> and <see cref="LayQuestion"/>, one after the other.
    /// </remarks>
    public string Lay(Reading reading) => reading.QuestionFirst
        ? Line(LeadIn) + Line(Question) + Copies(Document, reading) + LayQuestion(Question)
        : LayDocument(Document, reading, LeadIn) + LayQuestion(Question);

    private static string Copies(string document, Reading reading) =>
        string.Concat(Enumerable.Repeat(Line(Required(document, "document")), reading.Times));

    private static string Line(string text)
    {
        string line = text.Trim('\r', '\n');
        return line.Length == 0 ? "" : line + "\n";
    }

    private static string Required(string text, string name) => string.IsNullOrWhiteSpace(text)
        ? throw new ArgumentException($"the {name} is empty: give one with text in it.", name)
        : text;
}
