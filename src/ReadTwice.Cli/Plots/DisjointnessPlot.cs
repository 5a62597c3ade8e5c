using ReadTwice.Evaluation;
using ReadTwice.Synthetic;

namespace ReadTwice.Cli.Plots;

/// <summary>Set disjointness: accuracy against the size of the state, by order, and how much the order matters.</summary>
internal static class DisjointnessPlot
{
    /// <summary>Means over the seeds with their standard errors.</summary>
    public static Figure Of(IReadOnlyList<DisjointnessRun> runs) => new(
        Panel(runs, "Smaller set first", "common token named, %", run => run.ShortFirst),
        Panel(runs, "Larger set first", "common token named, %", run => run.LongFirst),
        Panel(runs, "Smaller first less larger first", "points", run => run.ShortFirst - run.LongFirst));

    private static Panel Panel(IReadOnlyList<DisjointnessRun> runs, string title, string unit, Func<DisjointnessRun, double> value)
    {
        var lines = runs.GroupBy(run => run.Point.Reader).OrderBy(reader => reader.Key).Select(reader =>
        {
            var sizes = reader.GroupBy(run => run.StateBytes).OrderBy(size => size.Key).Select(size => (Bytes: (double)size.Key, Mean: Estimate.Of([.. size.Select(run => ($"{run.Point.Seed}", 100 * value(run)))]))).ToList();
            return new Line(Name(reader.Key), [.. sizes.Select(size => size.Bytes)], [.. sizes.Select(size => size.Mean.Mean)], [.. sizes.Select(size => size.Mean.StandardError)]);
        });
        return new(title, "bytes of state", unit, [.. lines]) { LogX = true, Dodges = true };
    }

    private static string Name(SetReader reader) => reader switch
    {
        SetReader.Causal => "causal",
        SetReader.Repeated => "causal, sets laid twice",
        SetReader.NonCausal => "non-causal (JRT-RNN)",
        _ => "softmax attention (state grows)",
    };
}
