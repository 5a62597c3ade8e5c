using System.CommandLine;
using System.Text.Json;
using ReadTwice.Bench;
using ReadTwice.Cli.Plots;

namespace ReadTwice.Cli;

/// <summary>jrt plot: a picture of what other commands wrote.</summary>
internal static class PlotCommand
{
    private enum Kind
    {
        Training,
        Recall,
        Bench,
        Disjointness,
    }

    public static Command Make(Terminal terminal)
    {
        var files = new Argument<string[]>("FILE")
        {
            Description = "Files of one kind: logs of jrt train, --json of jrt eval or jrt bench, tables of jrt synth set-disjointness. The kind is seen from the content.",
            Arity = ArgumentArity.OneOrMore,
        };
        var output = new Option<string>("--out", "-o") { Description = "The picture.", Required = true, HelpName = "F.png|F.svg" };
        var json = JsonOption.Make();
        var command = new Command("plot", "Draws what other commands wrote: training logs, recall, times, set disjointness.") { files, output, json };
        command.SetAction(parsed =>
        {
            string picture = parsed.GetValue(output)!;
            Figure.RequirePicture(picture);
            var figure = Draw(parsed.GetValue(files)!);
            figure.Save(picture);
            if (parsed.GetValue(json)) terminal.WriteJson(new { picture, panels = figure.Panels.Select(panel => new { panel.Title, lines = panel.Lines.Select(line => line.Name) }) });
            else terminal.Error.WriteLine($"{picture} is drawn.");
        });
        return command;
    }

    private static Figure Draw(string[] paths)
    {
        var contents = paths.Select(path => (Path: path, Kind: KindOf(path))).ToList();
        if (contents.FirstOrDefault(content => content.Kind != contents[0].Kind) is { Path: not null } other)
            throw new InvalidDataException($"{paths[0]} holds {Words(contents[0].Kind)}, {other.Path} {Words(other.Kind)}; draw one kind at a time.");
        try
        {
            return contents[0].Kind switch
            {
                Kind.Training => TrainingPlot.Of([.. paths.Zip(Names(paths), (path, name) => (name, Lines(path)))]),
                Kind.Recall => RecallPlot.Of(paths.SelectMany(path => Root(path).GetProperty("results").EnumerateArray())),
                Kind.Bench => BenchPlot.Of([.. paths.SelectMany(path => Terminal.ReadJson<BenchResult>(File.ReadAllText(path)).Rows)]),
                _ => DisjointnessPlot.Of([.. paths.SelectMany(DisjointnessCsv.Read)]),
            };
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new InvalidDataException($"{string.Join(", ", paths)}: {Words(contents[0].Kind)} in which something is missing or of another kind: {e.Message}", e);
        }
    }

    private static Kind KindOf(string path)
    {
        string first = File.ReadLines(path).FirstOrDefault(line => line.Length > 0) ?? "";
        if (first == DisjointnessCsv.Header) return Kind.Disjointness;
        // A log has an object a line; the others are one object, over several lines or not.
        if (Object(first) is { } line && line.TryGetProperty("step", out _) && line.TryGetProperty("loss", out _)) return Kind.Training;
        if (first.TrimStart().StartsWith('{') && Object(File.ReadAllText(path)) is { } whole)
        {
            if (whole.TryGetProperty("results", out var results) && results.ValueKind == JsonValueKind.Array) return Kind.Recall;
            if (whole.TryGetProperty("rows", out var rows) && rows.ValueKind == JsonValueKind.Array) return Kind.Bench;
        }
        string found = first.Length == 0 ? "is empty" : $"begins with \"{(first.Length <= 60 ? first : first[..60] + "…")}\"";
        throw new InvalidDataException($"{path} {found}; a log of jrt train, --json of jrt eval or jrt bench, or a table of jrt synth set-disjointness can be drawn.");
    }

    private static JsonElement? Object(string text)
    {
        try
        {
            return JsonSerializer.Deserialize<JsonElement>(text) is { ValueKind: JsonValueKind.Object } found ? found : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static JsonElement Root(string path) => JsonSerializer.Deserialize<JsonElement>(File.ReadAllBytes(path));

    // The last line may be cut short where the run was killed or still goes on.
    private static IReadOnlyList<JsonElement> Lines(string path) => [.. File.ReadLines(path).Select(Object).OfType<JsonElement>()];

    // Logs all have the same name; their folders tell them apart.
    private static string[] Names(string[] paths)
    {
        string[] files = [.. paths.Select(path => Path.GetFileNameWithoutExtension(path))];
        string[] folders = [.. paths.Select(path => Path.GetFileName(Path.GetDirectoryName(Path.GetFullPath(path))!))];
        return files.Distinct().Count() == files.Length && files[0] != "log" ? files : folders.Distinct().Count() == folders.Length ? folders : paths;
    }

    private static string Words(Kind kind) => kind switch
    {
        Kind.Training => "a training log",
        Kind.Recall => "results of an evaluation",
        Kind.Bench => "rows of a benchmark",
        _ => "runs on set disjointness",
    };
}
