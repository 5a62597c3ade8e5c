using System.Text.Json.Serialization;

namespace ReadTwice.Synthetic;

/// <summary>How many tokens the two sets have.</summary>
/// <param name="A">The set that stands first.</param>
/// <param name="B">The set that stands second.</param>
public readonly record struct SetSizes(int A, int B)
{
    /// <summary>The same sizes in the other order.</summary>
    [JsonIgnore]
    public SetSizes Reversed => new(B, A);

    /// <inheritdoc/>
    public override string ToString() => $"{A}_{B}";
}

/// <summary>Two sets that have one token in common, which is to be named: set disjointness as JRT's authors pose it (arXiv 2407.05483).</summary>
/// <remarks>
/// A model that reads once must remember all of A before it sees B; one that reads both in advance, or twice, only the
/// smaller of them. Every example splits the vocabulary anew, so that no token tells by itself which set it is of.
/// </remarks>
/// <param name="vocabularySize">All tokens, the four special ones included; 2048 in the paper.</param>
public sealed class SetDisjointness(int vocabularySize = 2048)
{
    /// <summary>Stands before the first set.</summary>
    public const int Prefix = 1;

    /// <summary>Stands between the sets.</summary>
    public const int Separator = 2;

    /// <summary>Stands after the second; the common token is to follow it.</summary>
    public const int Answer = 3;

    /// <summary>The first token that can be in a set; 0 would be a mask and is never used.</summary>
    public const int FirstToken = 4;

    /// <summary>The sizes the authors train on, in both orders.</summary>
    public static IReadOnlyList<SetSizes> TrainingSizes { get; } = BothOrders([new(4, 16), new(8, 32), new(16, 64), new(4, 128), new(16, 256), new(4, 256)]);

    /// <summary>The sizes the authors test on, in both orders; some are three times as large as any trained on.</summary>
    public static IReadOnlyList<SetSizes> TestSizes { get; } = BothOrders([
        new(1, 32), new(4, 32), new(4, 128), new(16, 256), new(4, 256), new(16, 512), new(4, 512), new(8, 768), new(16, 768), new(4, 768)]);

    // Half of the vocabulary, by the special tokens' number more than the other pool.
    private readonly int firstPool = vocabularySize / 2;

    /// <summary>Every token is below it.</summary>
    public int VocabularySize { get; } = vocabularySize;

    /// <summary>Sizes, and behind them the same in the other order.</summary>
    public static IReadOnlyList<SetSizes> BothOrders(IReadOnlyList<SetSizes> sizes) => [.. sizes, .. sizes.Select(size => size.Reversed)];

    /// <summary>Draws an example: [1] A [2] B [3], and the common token as the last one's label.</summary>
    /// <param name="sizes">How large the sets are.</param>
    /// <param name="reading">How often both sets are laid before the answer's token; the authors' data has them once.</param>
    /// <param name="random">Draws the sets.</param>
    /// <exception cref="ArgumentException">A set is empty or larger than its half of the vocabulary.</exception>
    public SyntheticExample Draw(SetSizes sizes, Reading reading, Random random)
    {
        int secondPool = VocabularySize - FirstToken - firstPool;
        if (sizes.A < 1 || sizes.B < 1 || sizes.A > firstPool || sizes.B > secondPool)
            throw new ArgumentException($"Sets of {sizes.A} and {sizes.B} tokens cannot be drawn: a vocabulary of {VocabularySize} has 1 to {firstPool} for the first and 1 to {secondPool} for the second.");
        int[] tokens = [.. Enumerable.Range(FirstToken, VocabularySize - FirstToken)];
        random.Shuffle(tokens);
        int[] a = tokens[..sizes.A], b = tokens[firstPool..(firstPool + sizes.B)];
        int common = a[random.Next(a.Length)];
        b[random.Next(b.Length)] = common;

        List<int> read = [];
        for (int i = 0; i < reading.Times; i++) read.AddRange([Prefix, .. a, Separator, .. b]);
        read.Add(Answer);
        return new(read, [.. Enumerable.Repeat(SyntheticExample.NoLabel, read.Count - 1), common]);
    }
}
