namespace ReadTwice.Evaluation;

/// <summary>One document, what is asked of it, and the answers that count.</summary>
/// <remarks>
/// Answers are never empty. A task uses the members its data set has and leaves the others as they are; the names in
/// the data sets are text or context (Document), key or question (Question), value or answers (Answers), orig_question, alt_answers, tok_pos.
/// </remarks>
/// <param name="Document">What is read; the one text that <see cref="ContextCut"/> shortens.</param>
/// <param name="Question">A key, or a statement that breaks off before its answer; SQuAD keeps the statement in the document and the question here.</param>
/// <param name="Answers">Any of them, found in what a model writes, makes it right.</param>
public sealed record RecallExample(string Document, string Question, IReadOnlyList<string> Answers)
{
    /// <summary>The document's name in the data set, or empty.</summary>
    public string Id { get; init; } = "";

    /// <summary>The question as it was first asked, which stands before the first copy (NQ, DROP, TriviaQA).</summary>
    public string OriginalQuestion { get; init; } = "";

    /// <summary>The document without the statement at its end, which all copies but the last are made of (SQuAD).</summary>
    public string Context { get; init; } = "";

    /// <summary>Answers that do not count, but tell where in the document the answer stands (NQ).</summary>
    public IReadOnlyList<string> OtherAnswers { get; init; } = [];

    /// <summary>The token at which the answer stands, where the data set says so (NQ).</summary>
    public int? AnswerToken { get; init; }
}
