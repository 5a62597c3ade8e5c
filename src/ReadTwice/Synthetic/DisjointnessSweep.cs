namespace ReadTwice.Synthetic;

/// <summary>A model to train: who reads, how wide, from which seed.</summary>
/// <param name="Reader">Who reads.</param>
/// <param name="D">Model width.</param>
/// <param name="F">Feature width, which decides the size of the state.</param>
/// <param name="Seed">Decides weights and examples.</param>
public sealed record DisjointnessPoint(SetReader Reader, int D, int F, int Seed);

/// <summary>The models whose accuracy is drawn against the size of their state (arXiv 2407.05483, figure 2).</summary>
/// <param name="Settings">How each is trained and tested.</param>
/// <param name="Readers">Who reads.</param>
/// <param name="Widths">Model widths.</param>
/// <param name="Features">Feature widths; softmax attention has none and is trained once a width and seed.</param>
/// <param name="Seeds">A model each.</param>
public sealed record DisjointnessSweep(
    DisjointnessSettings Settings, IReadOnlyList<SetReader> Readers, IReadOnlyList<int> Widths, IReadOnlyList<int> Features, IReadOnlyList<int> Seeds)
{
    /// <summary>Minutes on two cores: small sets of few tokens, two sizes of state.</summary>
    public static DisjointnessSweep Quick { get; } = new(
        new()
        {
            VocabularySize = 64,
            TrainingSizes = SetDisjointness.BothOrders([new(4, 8), new(4, 16)]),
            TestSizes = SetDisjointness.BothOrders([new(4, 8), new(4, 16), new(4, 24)]),
            Steps = 2400,
        },
        Enum.GetValues<SetReader>(), [32], [2, 4], [1, 2]);

    /// <summary>Less than an hour on two cores: larger sets, four sizes of state, three seeds.</summary>
    public static DisjointnessSweep Full { get; } = new(new(), Enum.GetValues<SetReader>(), [32], [2, 4, 8, 16], [1, 2, 3]);

    /// <summary>The models, those of one seed after those of another, so that a part of them compares all readers.</summary>
    public IReadOnlyList<DisjointnessPoint> Points =>
        [.. from seed in Seeds
            from D in Widths
            from F in Features
            from reader in Readers
            where reader != SetReader.Attention || F == Features[0]
            select new DisjointnessPoint(reader, D, F, seed)];
}
