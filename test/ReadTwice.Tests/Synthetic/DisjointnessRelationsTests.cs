using ReadTwice.Synthetic;

namespace ReadTwice.Tests.Synthetic;

public sealed class DisjointnessRelationsTests
{
    // Two seeds that differ by a point; what is said of each reader is at the small state and at the large one: smaller set first, larger first.
    private static readonly IReadOnlyList<DisjointnessRun> asPublished =
    [
        .. Runs(SetReader.Causal, 1000, 0.60, 0.30), .. Runs(SetReader.Causal, 4000, 0.90, 0.80),
        .. Runs(SetReader.NonCausal, 1000, 0.70, 0.65), .. Runs(SetReader.NonCausal, 4000, 0.95, 0.94),
        .. Runs(SetReader.Repeated, 1000, 0.62, 0.50), .. Runs(SetReader.Repeated, 4000, 0.90, 0.88),
        .. Runs(SetReader.Attention, 5000, 0.99, 0.98),
    ];

    [Fact]
    public void Runs_as_the_figure_has_them_show_all_relations_with_their_numbers()
    {
        var relations = DisjointnessRelations.Of(asPublished);
        Assert.Equal(7, relations.Count);
        Assert.All(relations, relation => Assert.True(relation.Holds, relation.Claim));
        Assert.Equal([30, 10], relations[0].Evidence.Select(each => Math.Round(each.Value.Mean, 6)));
        Assert.Equal(20, Assert.Single(relations[1].Evidence).Value.Mean, 6);
        Assert.Equal([35, 14], relations[2].Evidence.Select(each => Math.Round(each.Value.Mean, 6)));
        Assert.Equal([25, 9], relations[3].Evidence.Select(each => Math.Round(each.Value.Mean, 6)));
        // The seeds differ from each other in the same way for all readers, which a paired difference does not see.
        Assert.All(relations[2].Evidence, each => Assert.Equal(0, each.Value.StandardError, 9));
    }

    [Fact]
    public void A_relation_that_runs_contradict_does_not_hold()
    {
        DisjointnessRun[] turned = [.. asPublished.Where(run => run.Point.Reader != SetReader.Causal), .. Runs(SetReader.Causal, 1000, 0.80, 0.80), .. Runs(SetReader.Causal, 4000, 0.96, 0.97)];
        Assert.All(DisjointnessRelations.Of(turned).Take(4), (relation, i) => Assert.Equal(i == 1, relation.Holds));
        DisjointnessRun[] weak = [.. asPublished.Where(run => run.Point.Reader != SetReader.Attention), .. Runs(SetReader.Attention, 5000, 0.99, 0.60)];
        Assert.False(DisjointnessRelations.Of(weak)[^1].Holds);
    }

    [Fact]
    public void Readers_that_were_not_trained_leave_their_relations_out()
    {
        Assert.Empty(DisjointnessRelations.Of([]));
        Assert.Single(DisjointnessRelations.Of([.. Runs(SetReader.Causal, 1000, 0.6, 0.3)]));
        DisjointnessRun[] otherSeed = [.. Runs(SetReader.Causal, 1000, 0.6, 0.3).Take(1), .. Runs(SetReader.NonCausal, 1000, 0.6, 0.3).Skip(1)];
        Assert.Single(DisjointnessRelations.Of(otherSeed));
    }

    private static IEnumerable<DisjointnessRun> Runs(SetReader reader, long bytes, double shortFirst, double longFirst) => Enumerable.Range(0, 2).Select(seed =>
        new DisjointnessRun(new(reader, 32, (int)(bytes / 1000), seed), bytes, [new(2, 6, true, shortFirst + seed * 0.01), new(6, 2, true, longFirst + seed * 0.01)]));
}
