namespace ReadTwice.Evaluation;

/// <summary>Shortens a document to a window of tokens around its answer, as the JRT experiments do before a prompt is laid.</summary>
/// <remarks>Tokens are the evaluated model's own, so two models of different vocabularies read different windows.</remarks>
public static class ContextCut
{
    /// <summary>The example with its document cut, or null where the authors leave it out: a landmark is shorter than two characters.</summary>
    /// <remarks>
    /// Half of the budget goes before the first landmark. The window is not moved: an answer near the end leaves it shorter than the
    /// budget, and an answer that is not found leaves the last half of a budget. White space around the document goes in every case.
    /// </remarks>
    /// <param name="task">Says which landmarks the answer is found by.</param>
    /// <param name="example">Left as it is.</param>
    /// <param name="tokenizer">The evaluated model's.</param>
    /// <param name="budget">The most tokens to keep: context length less answer length, 950 for the paper's 1000 and 50.</param>
    /// <param name="beginOfText">Whether the authors' tokenizer puts a token before every text (GLA's does), which counts in the budget.</param>
    /// <param name="tidySpaces">
    /// Whether the space before . ? ! , and English contractions goes, as it does where the authors' tokenizer cleans up what it decodes.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException">The budget is not positive.</exception>
    public static RecallExample? Cut(
        RecallTask task, RecallExample example, Tokenizer tokenizer, int budget, bool beginOfText = false, bool tidySpaces = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(budget);
        var landmarks = task.Landmarks(example);
        if (landmarks.Any(landmark => PythonText.Length(landmark) <= 1)) return null;

        string text = PythonText.Strip(example.Document);
        var ids = tokenizer.Encode(text);
        int extra = beginOfText ? 1 : 0;
        int position = landmarks.Count == 0 ? 0 : Find(text, landmarks, example.OtherAnswers);
        // A landmark that is not found counts as found at the last character.
        string before = position < 0 ? PythonText.WithoutLast(text, 1) : text[..position];
        int answer = extra + tokenizer.Encode(before).Count;
        if (position < 0 && example.AnswerToken is int token && answer > budget) answer = token;

        int start = Math.Max(0, answer - budget / 2);
        int end = Math.Min(ids.Count + extra, start + budget);
        var window = ids.Skip(start - extra).Take(end - Math.Max(start, extra));
        string cut = tokenizer.Decode(window.Where(id => id != tokenizer.EndOfText));
        return example with { Document = tidySpaces ? Tidy(cut) : cut };
    }

    private static int Find(string text, IReadOnlyList<string> landmarks, IReadOnlyList<string> otherAnswers)
    {
        var found = landmarks.Select(landmark => text.IndexOf(landmark, StringComparison.OrdinalIgnoreCase)).Where(at => at >= 0).ToArray();
        return found.Length > 0
            ? found.Min()
            : otherAnswers.Select(other => text.IndexOf(other, StringComparison.OrdinalIgnoreCase)).FirstOrDefault(at => at >= 0, -1);
    }

    private static string Tidy(string text)
    {
        foreach (string after in (ReadOnlySpan<string>)[".", "?", "!", ",", "' ", "n't", "'m", "'s", "'ve", "'re"])
            text = text.Replace(" " + after, after.TrimEnd(), StringComparison.Ordinal);
        return text;
    }
}
