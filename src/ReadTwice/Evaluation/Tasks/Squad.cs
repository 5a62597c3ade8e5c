namespace ReadTwice.Evaluation.Tasks;

/// <summary>Questions on a paragraph of Wikipedia: a statement at the end of the text, continued by the answer.</summary>
public static class Squad
{
    /// <summary>Lines with text, context, question and value; text is context and statement.</summary>
    public static RecallTask Task { get; } =
        new("squad", "SQuAD 2.0 (arXiv 1806.03822)", Prompt, Read, example => example.Answers);

    private static RecallExample Read(JsonLine line) => new(line.Words("text"), line.Text("question"), [line.Text("value")])
    {
        Id = line.Has("doc_id") ? line.Text("doc_id") : "",
        Context = line.Text("context"),
    };

    private static string Prompt(RecallExample example, Reading reading)
    {
        string last = PythonText.Strip(example.Document);
        if (RecallTask.IsPlain(reading)) return last;
        // The copies before the last are neither stripped nor cut to the budget.
        string context = example.Context.Split("Question:")[0];
        return $"{example.Question} {string.Concat(Enumerable.Repeat(context + "\n", reading.Times - 1))}{last}";
    }
}
