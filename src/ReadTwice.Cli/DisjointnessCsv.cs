using System.Globalization;
using ReadTwice.Synthetic;

namespace ReadTwice.Cli;

/// <summary>Runs on set disjointness as a table: a row for each model and size of the sets.</summary>
internal static class DisjointnessCsv
{
    /// <summary>How such a file begins.</summary>
    public const string Header = "model,width,features,state_bytes,seed,order,a,b,trained,accuracy";

    /// <summary>Writes the table, whole or not at all.</summary>
    public static void Write(string path, IEnumerable<DisjointnessRun> runs) => AtomicFile.Write(path, stream =>
    {
        using var writer = new StreamWriter(stream, leaveOpen: true) { NewLine = "\n" };
        writer.WriteLine(Header);
        foreach (var (point, bytes, sizes) in runs)
            foreach (var (a, b, trained, accuracy) in sizes)
                writer.WriteLine(FormattableString.Invariant(
                    $"{NameOf(point.Reader)},{point.D},{point.F},{bytes},{point.Seed},{(a < b ? "short" : "long")}-first,{a},{b},{(trained ? "yes" : "no")},{accuracy:0.####}"));
    });

    /// <summary>Reads the runs of a table.</summary>
    /// <exception cref="InvalidDataException">The file is no such table, or a row is cut short or holds something else.</exception>
    public static IReadOnlyList<DisjointnessRun> Read(string path)
    {
        string[] lines = File.ReadAllLines(path);
        if (lines.Length == 0 || lines[0] != Header)
            throw new InvalidDataException($"{path} begins with \"{Clip(lines.FirstOrDefault() ?? "")}\"; a table of jrt synth set-disjointness begins with {Header}.");
        return [.. lines.Select((line, i) => (Line: line, Number: i + 1)).Skip(1).Where(row => row.Line.Length > 0)
            .Select(row => Parse(row.Line) ?? throw new InvalidDataException($"{path}, line {row.Number} is \"{Clip(row.Line)}\"; {Header} are needed."))
            .GroupBy(row => (row.Point, row.StateBytes), row => row.Size)
            .Select(run => new DisjointnessRun(run.Key.Point, run.Key.StateBytes, [.. run]))];
    }

    private static (DisjointnessPoint Point, long StateBytes, SizeAccuracy Size)? Parse(string line) =>
        line.Split(',') is [var model, var width, var features, var bytes, var seed, _, var a, var b, "yes" or "no", var accuracy] cells
        && Enum.TryParse<SetReader>(model.Replace("-", "", StringComparison.Ordinal), ignoreCase: true, out var reader) && Enum.IsDefined(reader)
        && int.TryParse(width, out int D) && int.TryParse(features, out int F) && long.TryParse(bytes, out long state) && int.TryParse(seed, out int number)
        && int.TryParse(a, out int first) && int.TryParse(b, out int second)
        && double.TryParse(accuracy, NumberStyles.Float, CultureInfo.InvariantCulture, out double right) && right is >= 0 and <= 1
            ? (new(reader, D, F, number), state, new(first, second, cells[8] == "yes", right)) : null;

    /// <summary>What a reader is called in the table and on the command line.</summary>
    public static string NameOf(SetReader reader) => reader == SetReader.NonCausal ? "non-causal" : reader.ToString().ToLowerInvariant();

    private static string Clip(string line) => line.Length <= 60 ? line : line[..60] + "…";
}
