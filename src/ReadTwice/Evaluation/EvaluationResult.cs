namespace ReadTwice.Evaluation;

/// <summary>A model's score under one condition, in percent.</summary>
/// <param name="Model">The model.</param>
/// <param name="Reading">How documents were laid.</param>
/// <param name="ContextLength">The context length.</param>
/// <param name="Score">The mean and its error.</param>
/// <param name="ByQuestion">The mean for each question that is asked of many documents; empty where no question comes twice.</param>
public sealed record ConditionScore(string Model, string Reading, int ContextLength, Estimate Score, IReadOnlyDictionary<string, double> ByQuestion);

/// <summary>How much better one condition or model is than another on the same examples, in percentage points.</summary>
/// <param name="Better">What is compared.</param>
/// <param name="Than">What it is compared with.</param>
/// <param name="ContextLength">The context length of both.</param>
/// <param name="Difference">The mean of the paired differences and its error.</param>
public sealed record PairedDifference(string Better, string Than, int ContextLength, Estimate Difference);

/// <summary>Scores out of predictions.</summary>
public static class EvaluationResult
{
    /// <summary>The score of a model's predictions under each condition.</summary>
    public static IReadOnlyList<ConditionScore> Score(string model, IEnumerable<Prediction> predictions) =>
        [.. predictions.GroupBy(prediction => (prediction.Reading, prediction.ContextLength)).Select(group =>
        {
            var byQuestion = group.GroupBy(prediction => prediction.Question, StringComparer.Ordinal).ToList();
            return new ConditionScore(
                model, group.Key.Reading, group.Key.ContextLength,
                Estimate.Of([.. group.Select(prediction => (prediction.Document, 100 * prediction.Score))]),
                byQuestion.Count == group.Count() ? new Dictionary<string, double>()
                    : byQuestion.OrderBy(question => question.Key, StringComparer.Ordinal).ToDictionary(question => question.Key, question => question.Average(prediction => 100 * prediction.Score)));
        })];

    /// <summary>The difference of two sets of predictions over the examples that both have.</summary>
    /// <exception cref="ArgumentException">They have none in common.</exception>
    public static Estimate Difference(IEnumerable<Prediction> of, IEnumerable<Prediction> than)
    {
        var other = than.ToDictionary(prediction => prediction.Example);
        return Estimate.Of([.. of.Where(prediction => other.ContainsKey(prediction.Example))
            .Select(prediction => (prediction.Document, 100 * (prediction.Score - other[prediction.Example].Score)))]);
    }

    /// <summary>Every pair of readings of one model, and every pair of models under one reading, at each context length.</summary>
    /// <param name="predictions">Each model's predictions, in the order in which later ones are compared with earlier ones.</param>
    public static IReadOnlyList<PairedDifference> Differences(IReadOnlyList<(string Model, IReadOnlyList<Prediction> Predictions)> predictions)
    {
        var runs = predictions.SelectMany(model => model.Predictions.GroupBy(prediction => (prediction.Reading, prediction.ContextLength))
            .Select(group => (model.Model, group.Key.Reading, group.Key.ContextLength, Predictions: group.ToList()))).ToList();
        var differences = new List<PairedDifference>();
        for (int i = 0; i < runs.Count; i++)
            for (int j = 0; j < i; j++)
            {
                var (a, b) = (runs[i], runs[j]);
                if (a.ContextLength != b.ContextLength || (a.Model != b.Model && a.Reading != b.Reading)) continue;
                differences.Add(new($"{a.Model} {a.Reading}", $"{b.Model} {b.Reading}", a.ContextLength, Difference(a.Predictions, b.Predictions)));
            }
        return differences;
    }
}
