namespace ReadTwice;

/// <summary>How the next token is chosen from the model's scores; the default takes the highest.</summary>
public sealed record Sampling
{
    /// <summary>Always the highest score.</summary>
    public static readonly Sampling Greedy = new();

    /// <summary>Scores are divided by it before they become probabilities; 0 takes the highest score.</summary>
    public double Temperature { get; init; }

    /// <summary>Only this many of the highest scores are drawn from; 0 for all.</summary>
    public int TopK { get; init; }

    /// <summary>Only the likeliest tokens that together reach this probability are drawn from; 1 for all.</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Only tokens at least this fraction as likely as the likeliest are drawn from; 0 for all.</summary>
    public double MinP { get; init; }

    /// <summary>Scores of tokens that occurred are divided by it where positive and multiplied where negative (arXiv 1909.05858); 1 for none.</summary>
    public double RepetitionPenalty { get; init; } = 1;

    /// <summary>Where the random numbers start; the same seed draws the same tokens. Null starts anywhere.</summary>
    public int? Seed { get; init; }

    /// <summary>Throws where a setting lies outside its range.</summary>
    /// <exception cref="ArgumentException">The message names the setting, its value and its range.</exception>
    public Sampling Checked()
    {
        Require(Temperature >= 0 && double.IsFinite(Temperature), nameof(Temperature), Temperature, "0 or more");
        Require(TopK >= 0, nameof(TopK), TopK, "0 (for all) or more");
        Require(TopP is > 0 and <= 1, nameof(TopP), TopP, "above 0 and at most 1");
        Require(MinP is >= 0 and <= 1, nameof(MinP), MinP, "between 0 and 1");
        Require(RepetitionPenalty > 0 && double.IsFinite(RepetitionPenalty), nameof(RepetitionPenalty), RepetitionPenalty, "above 0");
        return this;
    }

    private static void Require(bool holds, string name, double value, string range)
    {
        if (!holds) throw new ArgumentException($"{name} is {value}; it must be {range}.");
    }
}

/// <summary>Chooses tokens from scores. One sampler serves one text: it remembers which tokens occurred.</summary>
public sealed class Sampler(Sampling sampling)
{
    private readonly Sampling sampling = sampling.Checked();
    private readonly Random random = sampling.Seed is { } seed ? new(seed) : new();
    private readonly HashSet<int> seen = [];
    private float[] scores = [];
    private int[] order = [];

    /// <summary>Notes tokens that occurred, for the repetition penalty.</summary>
    public void See(IEnumerable<int> tokens)
    {
        if (sampling.RepetitionPenalty != 1) seen.UnionWith(tokens);
    }

    /// <summary>The next token, chosen from one score for each.</summary>
    /// <exception cref="ArgumentException">No score is a number.</exception>
    public int Next(ReadOnlySpan<float> logits)
    {
        if (scores.Length != logits.Length) (scores, order) = (new float[logits.Length], new int[logits.Length]);
        logits.CopyTo(scores);
        foreach (int token in seen)
            if (token < scores.Length)
                scores[token] *= (float)(scores[token] > 0 ? 1 / sampling.RepetitionPenalty : sampling.RepetitionPenalty);

        int next = sampling.Temperature == 0 ? Highest(scores) : Draw();
        if (sampling.RepetitionPenalty != 1) seen.Add(next);
        return next;
    }

    // The first of the highest, as argmax has it; a score that is no number is never chosen.
    private static int Highest(ReadOnlySpan<float> scores)
    {
        int best = -1;
        for (int i = 0; i < scores.Length; i++)
            if (!float.IsNaN(scores[i]) && (best < 0 || scores[i] > scores[best])) best = i;
        if (best < 0) throw new ArgumentException($"None of the {scores.Length} scores is a number; the model or its input is damaged.");
        return best;
    }

    private int Draw()
    {
        float highest = scores[Highest(scores)];
        int count = 0;
        double least = Math.Log(Math.Max(sampling.MinP, 1e-30)) * sampling.Temperature;   // in the units of scores
        for (int i = 0; i < scores.Length; i++)
            if (scores[i] - highest >= least) order[count++] = i;

        var candidates = order.AsSpan(0, count);
        bool ordered = sampling.TopP < 1 || (sampling.TopK > 0 && sampling.TopK < count);
        if (ordered) candidates.Sort((a, b) => scores[a] != scores[b] ? scores[b].CompareTo(scores[a]) : a.CompareTo(b));
        if (sampling.TopK > 0 && sampling.TopK < count) candidates = candidates[..sampling.TopK];

        double total = 0;
        foreach (int i in candidates) total += Weight(i, highest);
        if (sampling.TopP < 1)
        {
            double reached = 0, enough = sampling.TopP * total;
            int kept = 0;
            while (kept < candidates.Length && reached < enough) reached += Weight(candidates[kept++], highest);
            candidates = candidates[..kept];
            total = reached;
        }

        double left = random.NextDouble() * total;
        foreach (int i in candidates)
            if ((left -= Weight(i, highest)) < 0) return i;
        return candidates[^1];
    }

    private double Weight(int token, float highest) => Math.Exp((scores[token] - highest) / sampling.Temperature);
}
