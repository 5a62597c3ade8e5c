using System.CommandLine;
using ReadTwice.Bench;
using ReadTwice.Cli.Plots;
using ReadTwice.Native;
using Spectre.Console;

namespace ReadTwice.Cli;

/// <summary>jrt bench: how fast, against what, measured in one run.</summary>
internal static class BenchCommand
{
    public static Command Make(Terminal terminal)
    {
        var what = new Argument<string>("WHAT") { Description = "kernels: linear attention against softmax attention. recurrences: theirs against torch operators. products: matrix products with 1 to 2,048 rows. blocks: what stands around the products. prefill, decode: whole models of random weights. train: one update, forward, backward and AdamW." }
            .AcceptOnlyFromAmong("kernels", "recurrences", "products", "blocks", "prefill", "decode", "train");
        var lengths = new Option<long[]>("--tokens", "-T")
        {
            Description = "Lengths to measure; for products, rows that are multiplied at once.",
            AllowMultipleArgumentsPerToken = true,
            DefaultValueFactory = _ => [512, 2048, 8192],
            HelpName = "N",
        };
        var batch = new Option<long>("--batch", "-B") { Description = "Texts at once (kernels, train).", DefaultValueFactory = _ => 1, HelpName = "N" };
        var shapes = new Option<string[]>("--shape")
        {
            Description = $"Models to measure, the first against the others; train measures each, fda-jrt if none is named: {string.Join(", ", Shapes.Names)}.",
            AllowMultipleArgumentsPerToken = true,
            DefaultValueFactory = _ => ["jrt-360m", "transformer-360m"],
            HelpName = "NAME",
        };
        var type = new Option<string>("--dtype") { Description = "What the matrices of models are kept in; train measures both.", DefaultValueFactory = _ => "f32" }.AcceptOnlyFromAmong("f32", "bf16");
        var quantize = ModelOptions.MakeQuantize();
        var rounds = new Option<int>("--rounds") { Description = "Samples of each.", DefaultValueFactory = _ => 5, HelpName = "N" };
        var threads = new Option<int>("--threads") { Description = "Processor threads; 0 for one a core.", HelpName = "N" };
        var plot = new Option<string?>("--plot") { Description = "Draw time against length.", HelpName = "F.png|F.svg" };
        var json = new Option<string?>("--json") { Description = "Write machine and rows to this file; without a name, print them.", Arity = ArgumentArity.ZeroOrOne, HelpName = "F" };
        var command = new Command("bench", "Times this project against its peers, in turn in one run: medians, spreads and ratios.")
        {
            what, lengths, batch, shapes, type, quantize, rounds, threads, plot, json,
        };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(threads) is > 0 and var n) Libtorch.Threads = n;
            if (parsed.GetValue(lengths)!.FirstOrDefault(T => T < 1) is not 0 and var wrong) throw new ArgumentException($"--tokens has {wrong}; lengths of 1 or more are needed.");
            var asked = parsed.GetValue(lengths)!;
            var models = new BenchedModels(parsed.GetValue(shapes)!, parsed.GetValue(type) == "bf16", ModelOptions.Quantization(parsed.GetValue(quantize)!));
            var rows = new List<Row>();
            foreach (var row in parsed.GetValue(what) switch
            {
                "kernels" => KernelBench.Run(asked, parsed.GetValue(batch), parsed.GetValue(rounds)),
                "recurrences" => RecurrenceBench.Run(asked, parsed.GetValue(rounds)),
                "products" => ProductBench.Run(parsed.GetResult(lengths) is { Implicit: false } ? asked : [1, 128, 512, 2048], parsed.GetValue(rounds)),
                "blocks" => BlockBench.Run(asked, parsed.GetValue(rounds)),
                "prefill" => ModelBench.Prefill(models, asked, parsed.GetValue(rounds)),
                "train" => TrainBench.Run(parsed.GetResult(shapes) is { Implicit: false } ? parsed.GetValue(shapes)! : ["fda-jrt"], asked, parsed.GetValue(batch), parsed.GetValue(rounds)),
                _ => ModelBench.Decode(models, parsed.GetValue(rounds)),
            })
            {
                rows.Add(row);
                terminal.Error.WriteLine($"{row.Bench} {Sizes(row)}: {row.OursMs:0.00} ms, {row.Peer} {row.PeerMs:0.00} ms, ratio {row.Ratio:0.00}");
            }
            var result = new BenchResult(Machine.Here(Libtorch.Threads), rows);
            bool printsJson = parsed.GetResult(json) is { Implicit: false } && parsed.GetValue(json) is null;
            if (printsJson) terminal.WriteJson(result);
            else Print(terminal, rows);
            if (parsed.GetValue(json) is { } file) AtomicFile.Write(file, stream => Terminal.WriteJson(stream, result));
            if (parsed.GetValue(plot) is { } picture) BenchPlot.Of(rows).Save(picture);
        });
        return command;
    }

    private static string Sizes(Row row) => string.Join(' ', row.Shape.Select(size => $"{size.Key}={size.Value}"));

    private static void Print(Terminal terminal, IReadOnlyList<Row> rows)
    {
        var table = new Table().AddColumns("measured", "shape", "ours ms", "±", "peer", "peer ms", "±", "peer / ours", "agreement", "tokens/s", "peak MB");
        foreach (var row in rows)
            table.AddRow(Markup.Escape(row.Bench), Sizes(row), $"{row.OursMs:0.00}", $"{row.OursSpread:P0}", Markup.Escape(row.Peer), $"{row.PeerMs:0.00}", $"{row.PeerSpread:P0}",
                $"{row.Ratio:0.00}", double.IsNaN(row.Agreement) ? "" : $"{row.Agreement:0.0e+0}", $"{row.TokensPerSecond:N0}", row.PeakBytes is { } peak ? $"{peak / 1e6:N0}" : "");
        terminal.WriteTable(table);
    }
}

/// <summary>What a benchmark writes to a file.</summary>
internal sealed record BenchResult(Machine Machine, IReadOnlyList<Row> Rows);
