namespace ReadTwice.Evaluation.Tasks;

/// <summary>Attributes of medical devices out of the FDA's decision summaries: a key, continued by its value.</summary>
public static class Fda
{
    /// <summary>Lines with text, key and value.</summary>
    public static RecallTask Task { get; } = new("fda", "Evaporate (arXiv 2304.09433)", Prompt, Read, Landmarks);

    /// <summary>The examples of documents and of labels that lie in two files, joined by doc_id.</summary>
    /// <param name="documents">Lines with doc_id and text.</param>
    /// <param name="labels">Lines with doc_id, key and value; their order is that of the examples.</param>
    /// <exception cref="FileNotFoundException">A file is not there.</exception>
    /// <exception cref="InvalidDataException">A line lacks a field, or a label's document is missing.</exception>
    public static IEnumerable<RecallExample> Load(string documents, string labels)
    {
        var texts = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var line in JsonLine.ReadAll(documents))
            if (!texts.TryAdd(line.Text("doc_id"), line.Text("text")))
                throw line.Wrong($"doc_id {line.Text("doc_id")} is there a second time; every document needs its own.");
        foreach (var line in JsonLine.ReadAll(labels))
            yield return texts.TryGetValue(line.Text("doc_id"), out string? text)
                ? Example(line, text)
                : throw line.Wrong($"document {line.Text("doc_id")} is not in {documents}; give the documents these labels belong to.");
    }

    internal static RecallExample Example(JsonLine line, string text) => new(text, line.Words("key"), [line.Text("value")])
    {
        Id = line.Has("doc_id") ? line.Text("doc_id") : "",
    };

    // The window may be cut around an early mention of the key and miss the value: the authors take whichever comes first.
    internal static IReadOnlyList<string> Landmarks(RecallExample example) => [example.Question, .. example.Answers];

    internal static string Key(RecallExample example) => example.Question.Length > 0
        ? PythonText.Capitalize(example.Question)
        : throw new ArgumentException("the key is empty: drop the example.", nameof(example));

    private static RecallExample Read(JsonLine line) => Example(line, line.Text("text"));

    private static string Prompt(RecallExample example, Reading reading)
    {
        string key = Key(example);
        string text = PythonText.WithoutEndings(example.Document, example.Question + ":");
        string document = PythonText.Strip(PythonText.Strip(text, '\n'), '.') + ".";
        return RecallTask.IsPlain(reading)
            ? $"{document} {key}:"
            : $"Information about {PythonText.Strip(key, ':')}. {RecallTask.Copies(document, reading)} {key}:";
    }
}
