using System.Text.RegularExpressions;
using static ReadTwice.Evaluation.PythonText;

namespace ReadTwice.Evaluation.Tasks;

/// <summary>Trivia answered from evidence found on the web: a statement, continued by the answer.</summary>
public static partial class TriviaQa
{
    /// <summary>Lines with context, question, orig_question and answers.</summary>
    public static RecallTask Task { get; } = new("triviaqa", "TriviaQA (arXiv 1705.03551)", Prompt, NaturalQuestions.Read, _ => []);

    private static string Prompt(RecallExample example, Reading reading)
    {
        string context = Marks().Replace(Strip(example.Document), ""), question = RecallTask.Asked(example.Question);
        return RecallTask.IsPlain(reading)
            ? Drop.Plain(context, question)
            : NaturalQuestions.QuestionFirst(example.OriginalQuestion, context, question, reading);
    }

    // In one pass: what only comes together when a mark is taken out stays.
    [GeneratedRegex(@"\[(?:PAR|DOC|TLE)\]")]
    private static partial Regex Marks();
}
