using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using ReadTwice.Cli.Plots;
using ReadTwice.Evaluation;
using ReadTwice.Native;
using ReadTwice.Synthetic;
using Spectre.Console;

namespace ReadTwice.Cli;

/// <summary>jrt synth set-disjointness: small models that read two sets, their accuracy against the size of their state, and what that shows.</summary>
internal static class SetDisjointnessCommand
{
    public static Command Make(Terminal terminal)
    {
        var preset = new Option<string>("--preset") { Description = "How much is trained: quick 14 models, full 39 larger ones, for most of an hour on two idle cores.", DefaultValueFactory = _ => "quick" }.AcceptOnlyFromAmong("quick", "full");
        var readers = Several<string>("--reader", "Who reads; all if none is named.", "NAME").AcceptOnlyFromAmong([.. Enum.GetValues<SetReader>().Select(DisjointnessCsv.NameOf)]);
        var widths = Several<int>("--width", "Model widths instead of the preset's.", "D");
        var features = Several<int>("--features", "Feature widths instead of the preset's; they decide the size of the state.", "F");
        var seeds = Several<int>("--seeds", "Seeds instead of the preset's, a model each.", "N");
        var steps = new Option<int>("--steps") { Description = "Updates of a model instead of the preset's.", HelpName = "N" };
        var jobs = new Option<int>("--jobs", "-j") { Description = "Models trained at once, each on one thread; 0 for one a core.", HelpName = "N" };
        var output = new Option<string?>("--out", "-o") { Description = "The table, a row for each model and size of sets; set-disjointness.csv if not named. A run that was stopped goes on.", HelpName = "F.csv" };
        var plot = new Option<string?>("--plot") { Description = "The picture; if not named, the table's name with .png.", HelpName = "F.png|F.svg" };
        var check = new Option<string?>("--check") { Description = "Train nothing; say what this table shows.", HelpName = "F.csv" };
        var json = new Option<bool>("--json") { Description = "Print each model as a JSON object a line, and write a table only where --out names one; with --check, each relation." };
        var command = new Command("set-disjointness", "Trains small models that read once, twice, or in both directions, and compares them at each size of state (arXiv 2407.05483, figure 2).")
        {
            preset, readers, widths, features, seeds, steps, jobs, output, plot, check, json,
        };
        command.SetAction(async (parsed, cancel) =>
        {
            bool asJson = parsed.GetValue(json);
            if (parsed.GetValue(check) is { } made)
            {
                Tell(terminal, DisjointnessCsv.Read(made), asJson);
                return 0;
            }
            var whole = parsed.GetValue(preset) == "full" ? DisjointnessSweep.Full : DisjointnessSweep.Quick;
            var sweep = new DisjointnessSweep(
                parsed.GetValue(steps) is > 0 and var n ? whole.Settings with { Steps = n } : whole.Settings,
                Chosen(readers) is { } named ? [.. whole.Readers.Where(reader => named.Contains(DisjointnessCsv.NameOf(reader)))] : whole.Readers,
                Chosen(widths) ?? whole.Widths, Chosen(features) ?? whole.Features, Chosen(seeds) ?? whole.Seeds);
            string? table = parsed.GetValue(output) ?? (asJson ? null : "set-disjointness.csv");
            string? picture = parsed.GetValue(plot) ?? Path.ChangeExtension(table, ".png");
            if (picture is not null) Figure.RequirePicture(picture);
            int together = parsed.GetValue(jobs) is > 0 and var asked ? asked : Environment.ProcessorCount;

            var clock = Stopwatch.StartNew();
            var runs = await Train(terminal, sweep, parsed.GetValue(preset)!, table, together, asJson, cancel);
            if (table is null) return 0;
            DisjointnessPlot.Of(runs).Save(picture!);
            terminal.Error.WriteLine($"{table}, {picture}: {runs.Count} models in {clock.Elapsed:h\\:mm\\:ss}, {together} at once.");
            if (!asJson) Tell(terminal, runs, asJson);
            return 0;

            T[]? Chosen<T>(Option<T[]> option) => parsed.GetValue(option) is { Length: > 0 } values ? values : null;
        });
        return command;
    }

    private static async Task<IReadOnlyList<DisjointnessRun>> Train(
        Terminal terminal, DisjointnessSweep sweep, string preset, string? table, int together, bool asJson, CancellationToken cancel)
    {
        using var journal = table is null ? null : Journal<DisjointnessRun>.Open(table, JsonSerializer.Serialize(sweep.Settings), run => $"{run.Point}");
        var runs = new Dictionary<DisjointnessPoint, DisjointnessRun>();
        foreach (var point in sweep.Points)
            if (journal?.Done.GetValueOrDefault($"{point}") is { } known) runs[point] = known;
        DisjointnessPoint[] missing = [.. sweep.Points.Where(point => !runs.ContainsKey(point))];
        if (together == 1 || missing.Length == 1)
        {
            Libtorch.Require();
            Libtorch.Threads = 1;
            foreach (var point in missing)
                Note(terminal.WithProgress($"{point.Reader} {point.D} {point.F}", progress => DisjointnessExperiment.Run(sweep.Settings, point, progress, cancel)));
        }
        else
        {
            await Parallel.ForEachAsync(missing, new ParallelOptions { MaxDegreeOfParallelism = together, CancellationToken = cancel }, async (point, stop) => Note(await DisjointnessProcess.Run(
                ["--preset", preset, "--reader", DisjointnessCsv.NameOf(point.Reader), "--width", $"{point.D}", "--features", $"{point.F}", "--seeds", $"{point.Seed}", "--steps", $"{sweep.Settings.Steps}", "--json"], stop)));
        }
        DisjointnessRun[] all = [.. sweep.Points.Select(point => runs[point])];
        if (table is null) return all;
        DisjointnessCsv.Write(table, all);
        journal?.Delete();
        return all;

        void Note(DisjointnessRun run)
        {
            lock (runs)
            {
                runs[run.Point] = run;
                journal?.Add(run);
                if (asJson) terminal.WriteJson(run);
                else
                {
                    terminal.Error.WriteLine(
                        $"{runs.Count}/{sweep.Points.Count} {DisjointnessCsv.NameOf(run.Point.Reader)}, width {run.Point.D}, features {run.Point.F}, seed {run.Point.Seed}: " +
                        $"{run.StateBytes:N0} bytes, smaller set first {run.ShortFirst:0.0%}, larger set first {run.LongFirst:0.0%}");
                }
            }
        }
    }

    private static void Tell(Terminal terminal, IReadOnlyList<DisjointnessRun> runs, bool asJson)
    {
        var relations = DisjointnessRelations.Of(runs);
        if (asJson)
        {
            foreach (var relation in relations) terminal.WriteJson(relation);
            return;
        }
        var means = new Table().AddColumns("read", "bytes of state", "seeds", "smaller first, %", "larger first, %", "difference");
        foreach (var size in runs.GroupBy(run => (run.Point.Reader, run.StateBytes)).OrderBy(size => size.Key))
            means.AddRow(DisjointnessCsv.NameOf(size.Key.Reader), $"{size.Key.StateBytes:N0}", $"{size.Count()}",
                Mean(size, run => run.ShortFirst), Mean(size, run => run.LongFirst), Mean(size, run => run.ShortFirst - run.LongFirst));
        terminal.WriteTable(means);
        foreach (var relation in relations)
            terminal.Out.WriteLine(
                $"{relation.Claim} {(relation.Holds ? "Holds" : "Does not hold")}: " +
                $"{string.Join("; ", relation.Evidence.Select(each => $"{each.What} {each.Value.Mean:+0.0;-0.0;0.0} ± {each.Value.StandardError:0.0}"))}.");
        terminal.Out.WriteLine("In points of accuracy, ± the standard error over the seeds.");
    }

    private static string Mean(IEnumerable<DisjointnessRun> runs, Func<DisjointnessRun, double> value)
    {
        var mean = Estimate.Of([.. runs.Select(run => ($"{run.Point.Seed}", 100 * value(run)))]);
        return $"{mean.Mean:0.0} ± {mean.StandardError:0.0}";
    }

    private static Option<T[]> Several<T>(string name, string description, string value) =>
        new(name) { Description = description, AllowMultipleArgumentsPerToken = true, HelpName = value };
}
