namespace ReadTwice.Evaluation;

/// <summary>A mean over examples, and how far off it may be.</summary>
/// <remarks>
/// Examples of one document are not independent of each other: the standard error is that of the mean with documents as clusters,
/// and not smaller than it is.
/// </remarks>
/// <param name="Count">Examples.</param>
/// <param name="Clusters">Documents.</param>
/// <param name="Mean">Their mean.</param>
/// <param name="StandardError">Of the mean; 0 where there is one document.</param>
public sealed record Estimate(int Count, int Clusters, double Mean, double StandardError)
{
    // The normal distribution's: the tasks have hundreds of documents.
    private const double NinetyFivePercent = 1.959964;

    /// <summary>Where the 95 % confidence interval begins.</summary>
    public double Low => Mean - NinetyFivePercent * StandardError;

    /// <summary>Where it ends.</summary>
    public double High => Mean + NinetyFivePercent * StandardError;

    /// <summary>The mean of values, each with the document it is of.</summary>
    /// <exception cref="ArgumentException">There are no values.</exception>
    public static Estimate Of(IReadOnlyCollection<(string Document, double Value)> values)
    {
        if (values.Count == 0) throw new ArgumentException("there is nothing to take the mean of: no example was scored.", nameof(values));
        double mean = values.Average(value => value.Value);
        double[] deviations = [.. values.GroupBy(value => value.Document, StringComparer.Ordinal).Select(group => group.Sum(value => value.Value - mean))];
        int clusters = deviations.Length;
        double variance = clusters == 1 ? 0 : deviations.Sum(deviation => deviation * deviation) / values.Count / values.Count * clusters / (clusters - 1);
        return new(values.Count, clusters, mean, Math.Sqrt(variance));
    }
}
