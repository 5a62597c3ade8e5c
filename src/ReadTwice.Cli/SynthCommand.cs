using System.CommandLine;
using System.Text.Json;
using ReadTwice.Native;
using ReadTwice.Synthetic;
using Spectre.Console;

namespace ReadTwice.Cli;

/// <summary>jrt synth: the synthetic tasks of recall, their theory, and what small models make of them.</summary>
internal static class SynthCommand
{
    public static Command Make(Terminal terminal) => new("synth", "Synthetic tasks of recall: examples, theory, and what small models make of them.")
    {
        Examples(terminal), Theory(terminal), Sweep(terminal),
    };

    private static Command Examples(Terminal terminal)
    {
        var task = new Argument<string>("TASK") { Description = "set-disjointness: two sets, whose common token follows. recall: pairs of keys and values, then the keys." }.AcceptOnlyFromAmong("set-disjointness", "recall");
        var sizes = new Option<string>("--sizes") { Description = "Of the two sets, as A,B; of recall, pairs and tokens in all.", DefaultValueFactory = _ => "4,16", HelpName = "N,N" };
        var vocabulary = new Option<int>("--vocab-size") { Description = "Tokens of the vocabulary.", DefaultValueFactory = _ => 2048, HelpName = "N" };
        var count = new Option<int>("--count", "-n") { Description = "How many examples.", DefaultValueFactory = _ => 1, HelpName = "N" };
        var reading = new Option<string>("--reading", "-r") { Description = "How often the sets are laid.", DefaultValueFactory = _ => "once", HelpName = "READING" };
        var seed = new Option<int>("--seed") { Description = "The same seed draws the same examples.", DefaultValueFactory = _ => 123, HelpName = "N" };
        var json = JsonOption.Make();
        var command = new Command("examples", "Prints examples, a JSON object a line: tokens, and the label of each; -100 stands for none.") { task, sizes, vocabulary, count, reading, seed, json };
        command.SetAction(parsed =>
        {
            var size = Sizes(parsed.GetValue(sizes)!);
            var random = new Random(parsed.GetValue(seed));
            var laid = Reading.Parse(parsed.GetValue(reading)!);
            var sets = new SetDisjointness(parsed.GetValue(vocabulary));
            var recall = new AssociativeRecall(parsed.GetValue(vocabulary));
            for (int i = 0; i < parsed.GetValue(count); i++)
                terminal.WriteJson(parsed.GetValue(task) == "recall" ? recall.Draw(size.A, size.B, random) : sets.Draw(size, laid, random));
        });
        return command;
    }

    private static Command Theory(Terminal terminal)
    {
        var sizes = new Option<string>("--sizes") { Description = "Of the two sets, as A,B in the order in which they are read.", DefaultValueFactory = _ => "256,4", HelpName = "N,N" };
        var bits = new Option<int>("--bits") { Description = "Bits of an element.", DefaultValueFactory = _ => 11, HelpName = "N" };
        var times = new Option<int>("--times") { Description = "The most readings to tell of.", DefaultValueFactory = _ => 2, HelpName = "N" };
        var json = JsonOption.Make();
        var command = new Command("theory", "Tells how many bits of state naming the common elements of two sets takes, up to constant factors (arXiv 2407.05483).") { sizes, bits, times, json };
        command.SetAction(parsed =>
        {
            var bounds = RecallTheory.Bounds(Sizes(parsed.GetValue(sizes)!), parsed.GetValue(bits), parsed.GetValue(times));
            if (parsed.GetValue(json))
            {
                foreach (var bound in bounds) terminal.WriteJson(bound);
                return;
            }
            var table = new Table().AddColumns("read", "bits needed", "bits enough");
            foreach (var bound in bounds) table.AddRow(bound.Reading, $"{bound.Needed:N0}", bound.Enough is { } enough ? $"{enough:N0}" : "not known");
            terminal.WriteTable(table);
        });
        return command;
    }

    private static Command Sweep(Terminal terminal)
    {
        var widths = new Option<int[]>("--width") { Description = "Model widths.", AllowMultipleArgumentsPerToken = true, DefaultValueFactory = _ => [48], HelpName = "D" };
        var features = new Option<int[]>("--features") { Description = "Feature widths, which decide the size of the state.", AllowMultipleArgumentsPerToken = true, DefaultValueFactory = _ => [4, 8, 16], HelpName = "F" };
        var seeds = new Option<int[]>("--seeds") { Description = "A run each.", AllowMultipleArgumentsPerToken = true, DefaultValueFactory = _ => [1, 2], HelpName = "N" };
        var steps = new Option<int>("--steps") { Description = "Updates of a run.", DefaultValueFactory = _ => new DisjointnessSettings().Steps, HelpName = "N" };
        var output = new Option<string>("--out", "-o") { Description = "File for the runs, a JSON object a line; runs that stand there already are not repeated.", Required = true, HelpName = "FILE" };
        var plot = new Option<string?>("--plot") { Description = "Draw accuracy against the size of the state.", HelpName = "F.png|F.svg" };
        var threads = new Option<int>("--threads") { Description = "Processor threads; 0 for one a core.", HelpName = "N" };
        var json = JsonOption.Make();
        var command = new Command("set-disjointness", "Trains small models that read once, twice, or in both directions, and compares them at each size of state.")
        {
            widths, features, seeds, steps, output, plot, threads, json,
        };
        command.SetAction((parsed, cancel) =>
        {
            Libtorch.Require();
            if (parsed.GetValue(threads) is > 0 and var n) Libtorch.Threads = n;
            var settings = new DisjointnessSettings { Steps = parsed.GetValue(steps) };
            string path = parsed.GetValue(output)!;
            var runs = File.Exists(path) ? File.ReadLines(path).Where(line => line.Length > 0).Select(line => Parse(path, line)).ToList() : [];
            foreach (int seed in parsed.GetValue(seeds)!)
                foreach (int D in parsed.GetValue(widths)!)
                    foreach (int F in parsed.GetValue(features)!)
                        foreach (var reader in Enum.GetValues<SetReader>())
                        {
                            if (runs.Any(run => (run.Reader, run.D, run.F, run.Seed) == (reader, D, F, seed))) continue;
                            var run = terminal.WithProgress($"{reader} {D} {F}", progress => DisjointnessExperiment.Run(settings, reader, D, F, seed, progress, cancel));
                            File.AppendAllText(path, JsonSerializer.Serialize(run) + "\n");
                            runs.Add(run);
                            if (parsed.GetValue(json)) terminal.WriteJson(run);
                            else terminal.Error.WriteLine($"{reader}, width {D}, features {F}, seed {seed}: state {run.StateBytes:N0} bytes, short set first {run.ShortFirst:0.0%}, long set first {run.LongFirst:0.0%}");
                        }
            if (parsed.GetValue(plot) is { } picture) Plot(runs).Save(picture);
            return Task.FromResult(0);
        });
        return command;
    }

    private static LinePlot Plot(List<DisjointnessRun> runs)
    {
        var lines = new List<Line>();
        foreach (var reader in runs.GroupBy(run => run.Reader).OrderBy(group => group.Key))
        {
            var sizes = reader.GroupBy(run => run.StateBytes).OrderBy(group => group.Key).ToList();
            double[] bytes = [.. sizes.Select(size => (double)size.Key)];
            lines.Add(new($"{reader.Key}, short set first", bytes, [.. sizes.Select(size => 100 * size.Average(run => run.ShortFirst))]));
            lines.Add(new($"{reader.Key}, long set first", bytes, [.. sizes.Select(size => 100 * size.Average(run => run.LongFirst))]));
        }
        return new("The token that two sets have in common", "bytes of state", "named rightly, %", lines) { LogX = true };
    }

    private static DisjointnessRun Parse(string path, string line)
    {
        try
        {
            return JsonSerializer.Deserialize<DisjointnessRun>(line) ?? throw new JsonException("null");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{path} holds something other than runs of this command ({e.Message}); name another file.", e);
        }
    }

    private static SetSizes Sizes(string text)
    {
        string[] numbers = text.Split(',', StringSplitOptions.TrimEntries);
        return numbers.Length == 2 && int.TryParse(numbers[0], out int a) && int.TryParse(numbers[1], out int b)
            ? new(a, b) : throw new ArgumentException($"--sizes is {text}; two numbers with a comma between are needed.");
    }
}
