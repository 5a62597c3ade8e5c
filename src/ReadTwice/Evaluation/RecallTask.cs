namespace ReadTwice.Evaluation;

/// <summary>A recall task: what its data holds, and the prompt of an example under a reading.</summary>
/// <remarks>
/// The prompts are those of JRT-Prompt (arXiv 2407.05483) to the byte: once is the authors' default task, twice is their "twice" task. More copies
/// go on the same way, a line each; a question-first reading is the twice form with as many copies as it says, since
/// that form has the question before the first copy already. A prompt throws ArgumentException where the question is empty.
/// </remarks>
/// <param name="Name">As a command takes it: "fda".</param>
/// <param name="Paper">Where the data comes from.</param>
/// <param name="Prompt">The text a model is to continue.</param>
/// <param name="Read">One line of the data as an example.</param>
/// <param name="Landmarks">What <see cref="ContextCut"/> looks for to find the answer; empty to keep the head of the document.</param>
public sealed record RecallTask(
    string Name,
    string Paper,
    Func<RecallExample, Reading, string> Prompt,
    Func<JsonLine, RecallExample> Read,
    Func<RecallExample, IReadOnlyList<string>> Landmarks)
{
    /// <summary>How many tokens a model writes before its first line is taken as the answer.</summary>
    public const int AnswerTokens = 48;

    /// <summary>The examples of a .jsonl file, packed (.jsonl.gz) or not, read as they are asked for.</summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A line is no JSON object, or lacks a field.</exception>
    public IEnumerable<RecallExample> Load(string path) => JsonLine.ReadAll(path).Select(Read);

    /// <summary>Whether a reading is the authors' default form, rather than the one with the question before the first copy.</summary>
    internal static bool IsPlain(Reading reading) => reading is { Times: 1, QuestionFirst: false };

    /// <summary>A text as often as a reading says, a line each.</summary>
    internal static string Copies(string text, Reading reading) => string.Join('\n', Enumerable.Repeat(text, reading.Times));

    /// <summary>A question with its outer white space gone, refused where nothing is left: every text ends with it.</summary>
    internal static string Asked(string question)
    {
        string asked = PythonText.Strip(question);
        return asked.Length > 0 ? asked : throw new ArgumentException("the question is empty: drop the example.", nameof(question));
    }
}
