namespace ReadTwice.Evaluation;

/// <summary>How an answer is judged.</summary>
public static class Scores
{
    /// <summary>Whether any of the labels stands in the prediction, letter for letter but in any case.</summary>
    /// <remarks>
    /// Nothing is normalized: articles, punctuation and white space count. A task's score is 100 times the mean over its examples;
    /// the prediction is what a model wrote up to its first line break, so a label with a line break in it is never found.
    /// </remarks>
    /// <exception cref="ArgumentException">There is no label.</exception>
    public static bool Contains(string prediction, IReadOnlyList<string> labels) => labels.Count > 0
        ? labels.Any(label => prediction.Contains(label, StringComparison.OrdinalIgnoreCase))
        : throw new ArgumentException("there is no label: an answer is judged against one at least.", nameof(labels));
}
