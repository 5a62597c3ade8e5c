namespace ReadTwice.Evaluation;

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
public sealed class Evaluator(RecallTask task, ILanguageModel model, Tokenizer tokenizer)
{
    /// <summary>How many tokens of the context length are left for the answer when a document is cut.</summary>
    public const int AnswerBudget = 50;

    private readonly Generator generator = new(model, tokenizer);
    private readonly Continuation answer = new() { MaxTokens = RecallTask.AnswerTokens, Stops = ["\n"] };

    /// <summary>The prediction for an example, or null where the authors leave it out: a landmark is shorter than two characters.</summary>
    public Prediction? Predict(RecallExample example, int number, Condition condition, CancellationToken cancel = default)
    {
        if (ContextCut.Cut(task, example, tokenizer, condition.ContextLength - AnswerBudget) is not { } cut) return null;
        var prompt = tokenizer.Encode(task.Prompt(cut, condition.Reading));
        var (read, text) = condition.Prefix == PrefixFilling.Iterated ? (prompt.Count, Iterate(prompt, cancel)) : Continue(prompt, condition.Prefix, cancel);
        return new(
            condition.Name, condition.ContextLength, number, example.Id, example.Question, example.Answers,
            text, read, Scores.Contains(text, example.Answers) ? 1 : 0);
    }

    private (int Read, string Text) Continue(IReadOnlyList<int> prompt, PrefixFilling prefix, CancellationToken cancel)
    {
        var (state, tokens) = generator.Begin(prompt, prefix == PrefixFilling.Padded ? PaddingRule.AsPublished : PaddingRule.Exact);
        using (state)
        {
            generator.Read(state, tokens, cancel: cancel);
            return (tokens.Count, string.Concat(generator.Continue(state, answer, cancel: cancel).Select(written => written.Text)));
        }
    }

    // While prompt and answer fit the prefix they are read anew for each token; from then on the state goes on as ever.
    private string Iterate(IReadOnlyList<int> prompt, CancellationToken cancel)
    {
        List<int> read = [.. prompt];
        int most = prompt.Count + answer.MaxTokens;
        string text = "";
        for (bool ended = false; !ended && read.Count < most && !text.Contains('\n', StringComparison.Ordinal);)
        {
            using var state = model.NewState();
            generator.Read(state, read, cancel: cancel);
            var next = answer with { MaxTokens = read.Count < model.EncoderLength ? 1 : most - read.Count, Stops = [] };
            foreach (var (id, _) in generator.Continue(state, next, cancel: cancel))
            {
                ended = id == tokenizer.EndOfText;
                if (!ended) read.Add(id);
                text = tokenizer.Decode(read[prompt.Count..]);
                if (text.Contains('\n', StringComparison.Ordinal)) break;
            }
        }
        return text.Split('\n')[0];
    }
}
