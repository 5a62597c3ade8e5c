using static ReadTwice.Evaluation.PythonText;

namespace ReadTwice.Evaluation.Tasks;

/// <summary>Questions that take counting or comparing within a paragraph: a statement, continued by the answer.</summary>
public static class Drop
{
    /// <summary>Lines with context, question, orig_question and answers.</summary>
    public static RecallTask Task { get; } = new("drop", "DROP (arXiv 1903.00161)", Prompt, NaturalQuestions.Read, _ => []);

    /// <summary>The default form, which TriviaQA shares.</summary>
    internal static string Plain(string context, string question) =>
        $"{Strip(Strip(WithoutEndings(context, question)), '.')}. {question}";

    private static string Prompt(RecallExample example, Reading reading)
    {
        string context = Strip(example.Document), question = RecallTask.Asked(example.Question);
        return RecallTask.IsPlain(reading)
            ? Plain(context, question)
            : NaturalQuestions.QuestionFirst(Strip(example.OriginalQuestion, ':'), context, question, reading);
    }
}
