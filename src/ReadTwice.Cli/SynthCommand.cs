using System.CommandLine;
using ReadTwice.Synthetic;
using Spectre.Console;

namespace ReadTwice.Cli;

/// <summary>jrt synth: the synthetic tasks of recall, their theory, and what small models make of them.</summary>
internal static class SynthCommand
{
    public static Command Make(Terminal terminal) => new("synth", "Synthetic tasks of recall: examples, theory, and what small models make of them.")
    {
        Examples(terminal), Theory(terminal), SetDisjointnessCommand.Make(terminal),
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

    private static SetSizes Sizes(string text)
    {
        string[] numbers = text.Split(',', StringSplitOptions.TrimEntries);
        return numbers.Length == 2 && int.TryParse(numbers[0], out int a) && int.TryParse(numbers[1], out int b)
            ? new(a, b) : throw new ArgumentException($"--sizes is {text}; two numbers with a comma between are needed.");
    }
}
