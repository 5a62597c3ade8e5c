namespace ReadTwice.Evaluation;

/// <summary>What stands in the prefix of JRT-RNN where a prompt is shorter than it (arXiv 2407.05483, table 4).</summary>
public enum PrefixFilling
{
    /// <summary>The prompt alone; nothing is filled.</summary>
    None,

    /// <summary>Spaces before the prompt, as the authors' evaluation has them.</summary>
    Padded,

    /// <summary>The prompt and what is written: all of it is read anew for every token, until it is longer than the prefix.</summary>
    Iterated,
}

/// <summary>How one part of an evaluation reads: how often, how much of a document, and how a short prompt meets the prefix.</summary>
/// <param name="Reading">How the document is laid.</param>
/// <param name="ContextLength">Tokens of document and answer together; the answer takes <see cref="Evaluator.AnswerBudget"/> of them.</param>
/// <param name="Prefix">For models that have a prefix; all others read alike under each.</param>
public readonly record struct Condition(Reading Reading, int ContextLength, PrefixFilling Prefix = PrefixFilling.None)
{
    /// <summary>What results call the way of reading: "once", "twice", "padded", "twice+iterated".</summary>
    public string Name => Prefix == PrefixFilling.None ? $"{Reading}"
        : $"{(Reading == Reading.Once ? "" : $"{Reading}+")}{Prefix.ToString().ToLowerInvariant()}";

    /// <summary>The condition of a name.</summary>
    /// <remarks>A <see cref="ReadTwice.Reading"/>, or padded or iterated, which read once, or both with + between them.</remarks>
    /// <exception cref="FormatException">The name is none of these.</exception>
    public static Condition Named(string name, int contextLength)
    {
        string[] parts = name.Split('+', StringSplitOptions.TrimEntries);
        var prefix = parts[^1].ToLowerInvariant() switch
        {
            "padded" => PrefixFilling.Padded,
            "iterated" => PrefixFilling.Iterated,
            _ => PrefixFilling.None,
        };
        string reading = string.Join('+', prefix == PrefixFilling.None ? parts : parts[..^1]);
        return new(reading.Length == 0 && prefix != PrefixFilling.None ? Reading.Once : Reading.Parse(reading), contextLength, prefix);
    }
}
