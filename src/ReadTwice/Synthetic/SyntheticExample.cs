using ReadTwice.Training;

namespace ReadTwice.Synthetic;

/// <summary>Tokens, and what is to be foretold after some of them.</summary>
/// <param name="Tokens">What is read.</param>
/// <param name="Labels">The right token after each, or <see cref="NoLabel"/>.</param>
public sealed record SyntheticExample(IReadOnlyList<int> Tokens, IReadOnlyList<int> Labels)
{
    /// <summary>Where nothing is to be foretold.</summary>
    public const int NoLabel = -100;

    /// <summary>The example for training, all of it the prefix; only one that ends with its one label can be trained so.</summary>
    /// <exception cref="ArgumentException">Another token has a label.</exception>
    public TokenSequence AsSequence()
    {
        if (Labels.SkipLast(1).Any(label => label != NoLabel) || Labels[^1] == NoLabel)
            throw new ArgumentException("A sequence predicts tokens that follow each other; the last token alone may have a label.");
        TokenRole[] roles = [.. Tokens.Select(_ => TokenRole.Padding), TokenRole.Answer];
        return new([.. Tokens, Labels[^1]], roles, Tokens.Count);
    }
}
