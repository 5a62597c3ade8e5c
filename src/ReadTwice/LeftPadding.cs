namespace ReadTwice;

/// <summary>What a model does with the positions before a text begins.</summary>
public enum PaddingRule
{
    /// <summary>They leave no trace: a padded row gives what the row gives alone.</summary>
    Exact,

    /// <summary>
    /// What the authors' code does, needed to reproduce their numbers. HazyResearch's linear attention keeps a weight of one
    /// for each padded position, and their convolutions and attention see the padding; transformers' Mamba-2 lets the bias of
    /// its projection through. All others leave padding out as <see cref="Exact"/> does.
    /// </summary>
    AsPublished,
}

/// <summary>How many positions stand before the text of each row of a batch, and how they are treated.</summary>
/// <param name="Tokens">A number for each row; the row's text begins there.</param>
/// <param name="Rule">What the model does with them.</param>
public sealed record LeftPadding(IReadOnlyList<long> Tokens, PaddingRule Rule = PaddingRule.Exact);
