namespace ReadTwice.Evaluation;

/// <summary>How one part of an evaluation reads: how often, and how much of a document.</summary>
/// <param name="Reading">How the document is laid.</param>
/// <param name="ContextLength">Tokens of document and answer together; the answer takes <see cref="Evaluator.AnswerBudget"/> of them.</param>
public readonly record struct Condition(Reading Reading, int ContextLength);

/// <summary>What a model wrote for one example under one condition.</summary>
/// <param name="Reading">How the document was laid.</param>
/// <param name="ContextLength">The condition's context length.</param>
/// <param name="Example">The number of the example in the data, from 0.</param>
/// <param name="Document">Its document.</param>
/// <param name="Question">What was asked.</param>
/// <param name="Answers">What would have been right.</param>
/// <param name="Text">What was written, up to the first line break.</param>
/// <param name="PromptTokens">How many tokens were read.</param>
/// <param name="Score">1 where it is right, else 0.</param>
public sealed record Prediction(
    string Reading, int ContextLength, int Example, string Document, string Question, IReadOnlyList<string> Answers, string Text, int PromptTokens, double Score);

/// <summary>Puts a task's examples to a model, as the JRT experiments do: document cut around its answer, greedy, 48 tokens, one line.</summary>
/// <remarks>Owns neither the model nor the tokenizer.</remarks>
public sealed class Evaluator(RecallTask task, ILanguageModel model, Tokenizer tokenizer, PaddingRule padding = PaddingRule.Exact)
{
    /// <summary>How many tokens of the context length are left for the answer when a document is cut.</summary>
    public const int AnswerBudget = 50;

    private readonly Generator generator = new(model, tokenizer);
    private readonly Continuation answer = new() { MaxTokens = RecallTask.AnswerTokens, Stops = ["\n"] };

    /// <summary>The prediction for an example, or null where the authors leave it out: a landmark is shorter than two characters.</summary>
    public Prediction? Predict(RecallExample example, int number, Condition condition, CancellationToken cancel = default)
    {
        if (ContextCut.Cut(task, example, tokenizer, condition.ContextLength - AnswerBudget) is not { } cut) return null;
        var (state, tokens) = generator.Begin(tokenizer.Encode(task.Prompt(cut, condition.Reading)), padding);
        using (state)
        {
            generator.Read(state, tokens, cancel: cancel);
            string text = string.Concat(generator.Continue(state, answer, cancel: cancel).Select(written => written.Text));
            return new(
                condition.Reading.ToString(), condition.ContextLength, number, example.Id, example.Question, example.Answers,
                text, tokens.Count, Scores.Contains(text, example.Answers) ? 1 : 0);
        }
    }
}
