using ReadTwice.Bench;

namespace ReadTwice.Cli.Plots;

/// <summary>Rows of jrt bench: time against length.</summary>
internal static class BenchPlot
{
    /// <summary>A line for whatever was timed; ours that was timed against several peers is drawn once.</summary>
    public static Figure Of(IReadOnlyList<Row> rows)
    {
        var ours = rows.Select(row => (Name: row.Bench, T: (double)row.Shape["T"], Ms: row.OursMs, Spread: row.OursMs * row.OursSpread));
        var peers = rows.Select(row => (Name: row.Peer, T: (double)row.Shape["T"], Ms: row.PeerMs, Spread: row.PeerMs * row.PeerSpread));
        var lines = ours.Concat(peers).GroupBy(time => time.Name).Select(line =>
        {
            var points = line.GroupBy(time => time.T).OrderBy(point => point.Key).ToList();
            return new Line(line.Key, [.. points.Select(point => point.Key)], [.. points.Select(point => point.Average(time => time.Ms))], [.. points.Select(point => point.Average(time => time.Spread))]);
        });
        return new(new Panel("Time against length", "tokens", "milliseconds", [.. lines]) { LogX = true, LogY = true });
    }
}
