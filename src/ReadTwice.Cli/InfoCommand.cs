using System.CommandLine;
using Spectre.Console;
using TorchSharp;

namespace ReadTwice.Cli;

/// <summary>jrt info: what a checkpoint is.</summary>
internal static class InfoCommand
{
    public static Command Make(Terminal terminal)
    {
        var model = new Argument<string>("MODEL") { Description = "Checkpoint: a folder, or a hub id that was pulled before." };
        var type = new Option<string>("--dtype") { Description = "What the matrices are kept in.", DefaultValueFactory = _ => "f32" }.AcceptOnlyFromAmong("f32", "bf16");
        var json = JsonOption.Make();
        var command = new Command("info", "Shows a model's architecture, parameters, layers, state size and memory.") { model, type, json };
        command.SetAction(parsed => Run(terminal, parsed.GetValue(model)!, parsed.GetValue(type)!, parsed.GetValue(json)));
        return command;
    }

    private static void Run(Terminal terminal, string name, string type, bool json)
    {
        using var checkpoint = ModelOptions.Load(name, type);
        var model = checkpoint.Model;
        using var state = model.NewState();
        var info = new
        {
            model = name,
            family = checkpoint.Family.Name,
            architecture = model.Architecture,
            parameters = model.ParameterCount,
            layers = model.Blocks.GroupBy(block => block.Kind).ToDictionary(group => group.Key, group => group.Count()),
            vocabulary_rows = model.VocabularyRows,
            prefix_tokens = model.EncoderLength,
            dtype = type,
            weight_bytes = model.WeightBytes,
            state_bytes = state.Bytes,
            state_bytes_per_token = model.StateBytesPerToken,
            hash = model.Hash,
            mapped_bytes = checkpoint.MappedBytes,
            unused_tensors = checkpoint.UnusedTensors,
        };
        if (json)
        {
            terminal.WriteJson(info);
            return;
        }
        var table = new Table().HideHeaders().AddColumns("", "");
        void Row(string what, string value) => table.AddRow(what, Markup.Escape(value));
        Row("model", info.model);
        Row("family", info.family);
        Row("parameters", $"{info.parameters:N0}");
        Row("layers", string.Join(", ", info.layers.Select(layer => $"{layer.Value} {layer.Key}")));
        Row("vocabulary rows", $"{info.vocabulary_rows:N0}");
        Row("reads in both directions", info.prefix_tokens == 0 ? "nothing" : $"the first {info.prefix_tokens:N0} tokens");
        Row("weights", $"{info.weight_bytes:N0} bytes ({type} matrices), {(checkpoint.MappedBytes > 0 ? $"{checkpoint.MappedBytes:N0} of them mapped from the file" : "held in memory")}");
        Row("state", info.state_bytes_per_token > 0 ? $"{info.state_bytes:N0} bytes, and {info.state_bytes_per_token:N0} more for each token read" : $"{info.state_bytes:N0} bytes, however long the text");
        Row("hash", info.hash);
        if (info.unused_tensors.Count > 0) Row("unused tensors", string.Join(", ", info.unused_tensors.Take(8)) + (info.unused_tensors.Count > 8 ? $" and {info.unused_tensors.Count - 8} more" : ""));
        terminal.WriteTable(table);
    }
}
