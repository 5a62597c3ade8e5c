using System.Security.Cryptography;
using System.Text;
using ReadTwice.Checkpoints;
using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>States on disk: safetensors, with all that must fit in its metadata and a checksum over everything.</summary>
internal static class StateFile
{
    private const string Format = "readtwice-state-1";

    public static void Save(RecurrentState state, string path)
    {
        using var scope = NewDisposeScope();
        var tensors = Tensors(state).Select(entry => (entry.Name, Tensor: entry.Tensor.cpu().contiguous())).ToList();
        var metadata = new SortedDictionary<string, string>(StringComparer.Ordinal)
        {
            ["format"] = Format,
            ["model"] = state.Model,
            ["architecture"] = state.Architecture,
            ["position"] = $"{state.Position}",
            ["batch"] = $"{state.BatchSize}",
            ["tokens"] = state.TokenHash,
        };
        if (state.Source is { } source)
            (metadata["tokenizer"], metadata["reading"], metadata["document"]) = (source.Tokenizer, source.Reading, source.Document);
        if (state.Padding is { } padding)
            (metadata["padding"], metadata["padding_rule"]) = (string.Join(' ', padding.Tokens), $"{padding.Rule}");
        metadata["checksum"] = Checksum(metadata, tensors.Select(entry => (entry.Name, entry.Tensor)));
        AtomicFile.Write(path, stream => SafetensorsWriter.Write(stream, metadata, [.. tensors.Select(entry => TensorMemory.ToWrite(entry.Name, entry.Tensor))]));
    }

    public static RecurrentState Load(string path, ILanguageModel model)
    {
        using var files = WeightFiles.Open(path);
        var metadata = files.Metadata;
        if (metadata.GetValueOrDefault("format") != Format)
            throw new InvalidDataException($"{path} is no state of a model, or of another version; a file that --save-state wrote is needed ({Format}).");
        if (Text("model") != model.Hash)
            throw new InvalidDataException($"{path} was written by {metadata.GetValueOrDefault("architecture")} ({Short(Text("model"))}); this is {model.Architecture} ({Short(model.Hash)}). Read the document again with this model.");

        using var scope = NewDisposeScope();
        var stored = files.Tensors.ToDictionary(entry => entry.Key, entry => TensorMemory.Map(entry.Value));
        if (Text("checksum") != Checksum(metadata.Where(entry => entry.Key != "checksum"), stored.Select(entry => (entry.Key, entry.Value))))
            throw new InvalidDataException($"{path} is damaged: its checksum does not fit. Read the document again.");

        var state = model.NewState(Number("batch"), Padding());
        try
        {
            foreach (var (name, tensor) in Tensors(state).Where(entry => entry.Name != LogitsName).ToList())
            {
                if (!stored.TryGetValue(name, out var value) || value.dtype != tensor.dtype || !Fits(value, tensor))
                    throw new InvalidDataException($"{path}: {name} is {(value is null ? "missing" : $"{value.dtype} [{string.Join(", ", value.shape)}]")}; {tensor.dtype} [{string.Join(", ", tensor.shape)}] is needed. Read the document again.");
                int dot = name.IndexOf('.', StringComparison.Ordinal);
                state[int.Parse(name[..dot])][name[(dot + 1)..]] = value.clone().to(tensor.device);
            }
            state.Source = metadata.ContainsKey("tokenizer") ? new(Text("tokenizer"), Text("reading"), Text("document")) : null;
            return state.Resume(Number("position"), Text("tokens"), stored.GetValueOrDefault(LogitsName)?.clone());
        }
        catch
        {
            state.Dispose();
            throw;
        }

        string Text(string key) => metadata.GetValueOrDefault(key)
            ?? throw new InvalidDataException($"{path} is damaged: \"{key}\" is missing. Read the document again.");

        long Number(string key) => long.TryParse(Text(key), out long number) && number >= 0 ? number
            : throw new InvalidDataException($"{path} is damaged: \"{key}\" is \"{Text(key)}\", not a number. Read the document again.");

        LeftPadding? Padding() => !metadata.ContainsKey("padding") ? null
            : new([.. Text("padding").Split(' ').Select(long.Parse)], Enum.Parse<PaddingRule>(Text("padding_rule")));
    }

    private const string LogitsName = "logits";

    private static IEnumerable<(string Name, Tensor Tensor)> Tensors(RecurrentState state)
    {
        for (int i = 0; i < state.Count; i++)
            foreach (string name in state[i].Names) yield return ($"{i}.{name}", state[i][name]);
        if (state.Logits is not null) yield return (LogitsName, state.Logits);
    }

    // What grows with the text does so along one axis, and is empty there in a new state.
    private static bool Fits(Tensor value, Tensor empty) =>
        value.dim() == empty.dim() && value.shape.Zip(empty.shape).All(pair => pair.First == pair.Second || pair.Second == 0);

    private static string Short(string hash) => hash[..Math.Min(12, hash.Length)];

    private static string Checksum(IEnumerable<KeyValuePair<string, string>> metadata, IEnumerable<(string Name, Tensor Tensor)> tensors)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var (key, value) in metadata.OrderBy(entry => entry.Key, StringComparer.Ordinal)) hash.AppendData(Encoding.UTF8.GetBytes($"{key}={value}\n"));
        foreach (var (name, tensor) in tensors.OrderBy(entry => entry.Name, StringComparer.Ordinal))
        {
            hash.AppendData(Encoding.UTF8.GetBytes($"{name} {tensor.dtype} {string.Join(',', tensor.shape)}\n"));
            const long Part = 1 << 24;
            long length = tensor.numel() * tensor.element_size();
            for (long at = 0; at < length; at += Part) hash.AppendData(TensorMemory.Bytes(tensor, at, (int)Math.Min(Part, length - at)));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
