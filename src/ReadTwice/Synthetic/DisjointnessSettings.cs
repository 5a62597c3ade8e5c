namespace ReadTwice.Synthetic;

/// <summary>How one model is trained and tested on set disjointness; sized for a processor, the authors' own is some thousand times as large.</summary>
public sealed record DisjointnessSettings
{
    /// <summary>Tokens of the vocabulary.</summary>
    public int VocabularySize { get; init; } = 128;

    /// <summary>Sizes that are trained on.</summary>
    public IReadOnlyList<SetSizes> TrainingSizes { get; init; } = SetDisjointness.BothOrders([new(4, 16), new(4, 32), new(8, 32)]);

    /// <summary>Sizes that are tested; larger ones than any trained on tell how far a model reaches.</summary>
    public IReadOnlyList<SetSizes> TestSizes { get; init; } = SetDisjointness.BothOrders([new(4, 16), new(4, 32), new(8, 32), new(4, 48), new(8, 48)]);

    /// <summary>Updates, each of one size, the sizes in turn.</summary>
    public int Steps { get; init; } = 5000;

    /// <summary>Examples of an update; drawn anew each time.</summary>
    public int BatchSize { get; init; } = 64;

    /// <summary>Test examples of each size.</summary>
    public int TestExamples { get; init; } = 500;

    /// <summary>The highest learning rate; it falls to 0.</summary>
    public double Rate { get; init; } = 6e-3;
}
