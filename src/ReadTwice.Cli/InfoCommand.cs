using System.CommandLine;
using ReadTwice.Checkpoints;
using ReadTwice.Evaluation;
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
        var quantize = ModelOptions.MakeQuantize();
        var text = new Option<string?>("--text") { Description = "With --quantize: the text file whose next tokens are foretold; without it, 512 tokens that the model itself writes.", HelpName = "FILE" };
        var json = JsonOption.Make();
        var command = new Command("info", "Shows a model's architecture, parameters, layers, state size and memory, and what rounding its weights costs.") { model, type, quantize, text, json };
        command.SetAction(parsed => Run(
            terminal, parsed.GetValue(model)!, parsed.GetValue(type)!, parsed.GetValue(quantize)!, parsed.GetValue(text), parsed.GetValue(json)));
        return command;
    }

    private static void Run(Terminal terminal, string name, string type, string quantize, string? text, bool json)
    {
        if (text is not null && quantize == "none") throw new ArgumentException("--text is read to see what rounding costs; --quantize int8 is needed with it.");
        using var checkpoint = ModelOptions.Load(name, type);
        var model = checkpoint.Model;
        using var state = model.NewState();
        var rounding = quantize == "none" ? null : Compare(checkpoint, name, type, quantize, text);
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
            quantized = rounding,
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
        if (rounding is not null)
        {
            Row($"linear layers in {rounding.To}", $"{rounding.Bytes:N0} bytes, where {type} takes {rounding.BytesBefore:N0}");
            Row("next-token loss", $"{rounding.Loss:0.0000} nats a token instead of {rounding.LossBefore:0.0000}, {rounding.Change:+0.0000;-0.0000;0.0000}, over {rounding.Tokens:N0} tokens {(text is null ? "that it wrote itself" : $"of {text}")}");
        }
        Row("state", info.state_bytes_per_token > 0 ? $"{info.state_bytes:N0} bytes, and {info.state_bytes_per_token:N0} more for each token read" : $"{info.state_bytes:N0} bytes, however long the text");
        Row("hash", info.hash);
        if (info.unused_tensors.Count > 0) Row("unused tensors", string.Join(", ", info.unused_tensors.Take(8)) + (info.unused_tensors.Count > 8 ? $" and {info.unused_tensors.Count - 8} more" : ""));
        terminal.WriteTable(table);
    }

    /// <summary>What rounding costs and saves; losses are in nats a token.</summary>
    private sealed record Rounding(string To, long Bytes, long BytesBefore, int Tokens, double Loss, double LossBefore)
    {
        public double Change => Loss - LossBefore;
    }

    // The same weights twice, as they are kept and rounded, over the same tokens.
    private static Rounding Compare(Checkpoint kept, string name, string type, string quantize, string? text)
    {
        if (text is null && kept.Model.EncoderLength > 0)
            throw new ArgumentException($"{name} foretells only what follows a prefix, so it writes no text by itself to be measured on; --text FILE is needed.");
        using var rounded = ModelOptions.Load(name, type, quantize);
        var tokens = text is null ? Written(kept) : kept.Tokenizer.Encode(File.ReadAllText(text));
        double before = NextTokenLoss.Of(kept.Model, tokens), after = NextTokenLoss.Of(rounded.Model, tokens);
        long bytes = kept.Model.modules().OfType<Layers.Linear>().Sum(layer => layer.Weight.numel() * layer.Weight.element_size());
        return new(quantize, rounded.Model.PackedBytes, bytes, tokens.Count, after, before);
    }

    // Drawn as likely as the model thinks them, so that the change of the loss says how far the two models are apart.
    private static List<int> Written(Checkpoint checkpoint)
    {
        const int Count = 512;
        var sampler = new Sampler(new() { Temperature = 1, Seed = 1 });
        using var state = checkpoint.Model.NewState();
        var tokens = new List<int> { checkpoint.Tokenizer.EndOfText ?? 0 };
        while (tokens.Count < Count)
        {
            using var last = torch.tensor(new long[] { tokens[^1] });
            using var logits = checkpoint.Model.Step(last, state);
            float[] scores = logits.data<float>().ToArray();
            tokens.Add(sampler.Next(scores.AsSpan(0, Math.Min(scores.Length, checkpoint.Tokenizer.VocabularySize))));
        }
        return tokens;
    }
}
