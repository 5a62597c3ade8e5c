namespace ReadTwice.Training;

/// <summary>What a token of a training sequence is there for.</summary>
public enum TokenRole : byte
{
    /// <summary>Text: within the prefix it may be masked, after it it is predicted.</summary>
    Text,

    /// <summary>Text that is never masked, for an answer depends on it.</summary>
    Kept,

    /// <summary>Part of an answer: predicted wherever it stands, and of its own weight in the loss.</summary>
    Answer,

    /// <summary>Fills the sequence up: neither masked nor predicted.</summary>
    Padding,
}

/// <summary>One training sequence: its tokens, and how many of them are the prefix.</summary>
/// <param name="Ids">T + 1 tokens: all but the last are read, all but the first may be predicted.</param>
/// <param name="Roles">A role for each of them.</param>
/// <param name="PrefixLength">How many of the first tokens are read in both directions.</param>
public sealed record TokenSequence(IReadOnlyList<int> Ids, IReadOnlyList<TokenRole> Roles, int PrefixLength)
{
    /// <summary>How many tokens are read.</summary>
    public int T => Ids.Count - 1;

    /// <summary>A sequence of plain text.</summary>
    public static TokenSequence OfText(IReadOnlyList<int> ids, int prefixLength) => new(ids, new TokenRole[ids.Count], prefixLength);
}
