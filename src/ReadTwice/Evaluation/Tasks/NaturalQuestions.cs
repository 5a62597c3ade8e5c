using static ReadTwice.Evaluation.PythonText;

namespace ReadTwice.Evaluation.Tasks;

/// <summary>Questions people asked a search engine, answered from a page: a statement, continued by the answer.</summary>
public static class NaturalQuestions
{
    /// <summary>Lines with context, question, orig_question and answers, and where known alt_answers and tok_pos.</summary>
    public static RecallTask Task { get; } = new("nq", "Natural Questions (Kwiatkowski et al., TACL 2019)", Prompt, Read,
        example => [example.Answers[0]]);

    internal static RecallExample Read(JsonLine line) => new(line.Text("context"), line.Words("question"), line.Answers("answers"))
    {
        Id = line.Has("doc_id") ? line.Text("doc_id") : "",
        OriginalQuestion = line.Text("orig_question"),
        OtherAnswers = line.Has("alt_answers") ? line.Texts("alt_answers") : [],
        AnswerToken = line.NumberIfAny("tok_pos"),
    };

    /// <summary>The form with the question before the first copy, which NQ, DROP and TriviaQA share.</summary>
    internal static string QuestionFirst(string originalQuestion, string context, string question, Reading reading)
    {
        string document = Strip(Strip(Strip(WithoutEndings(context, question)), '.')) + ".";
        return $"{originalQuestion} {RecallTask.Copies(document, reading)} {question}";
    }

    private static string Prompt(RecallExample example, Reading reading)
    {
        string context = Strip(example.Document), question = RecallTask.Asked(example.Question);
        if (!RecallTask.IsPlain(reading)) return QuestionFirst(Strip(example.OriginalQuestion, ':'), context, question, reading);
        // Once, and in the same case: this form alone drops no second repetition.
        if (context.EndsWith(question, StringComparison.Ordinal)) context = context[..^question.Length];
        return $"{Strip(Strip(context), '.')}. {question}";
    }
}
