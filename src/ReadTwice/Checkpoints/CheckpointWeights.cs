using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Checkpoints;

/// <summary>The tensors of a checkpoint's files under our names, mapped and not copied where their type is the one asked for.</summary>
internal sealed class CheckpointWeights : IWeights
{
    private readonly WeightFiles files;
    private readonly CheckpointFamily family;
    private readonly ScalarType type;
    private readonly Dictionary<string, Tensor> tensors = new(StringComparer.Ordinal);
    private readonly HashSet<string> left;

    public CheckpointWeights(WeightFiles files, ConfigJson config, CheckpointFamily family, ScalarType type)
    {
        (this.files, this.family, this.type) = (files, family, type);
        Hash = HashOf(files, config);
        using var scope = NewDisposeScope();
        var theirs = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        foreach (var (name, stored) in files.Tensors)
            if (family.Clean(name) is { } clean) theirs[clean] = TensorMemory.Map(stored);
        family.Adapt?.Invoke(config, theirs);
        foreach (var (name, tensor) in theirs) tensors[family.Ours(name) ?? name] = tensor.DetachFromDisposeScope();
        left = [.. tensors.Keys];
    }

    public string Hash { get; }

    /// <summary>Bytes of parameters that lie in the mapped files and were not copied.</summary>
    public long MappedBytes { get; private set; }

    /// <summary>Tensors of the files that no part of the model asked for.</summary>
    public IReadOnlyList<string> Unused => [.. left.Order(StringComparer.Ordinal)];

    public long[]? ShapeOf(string name) => tensors.TryGetValue(name, out var tensor) ? tensor.shape : null;

    public void Skip(string name) => left.Remove(name);

    public Tensor Take(string name, long[] shape, Init init, bool ofProducts)
    {
        string source = Path.GetFileName(files.Files[0]);
        if (!tensors.TryGetValue(name, out var tensor))
            throw new InvalidDataException($"{source}: {family.Theirs(name)} is missing; this config needs it as [{string.Join(", ", shape)}]. Check that config.json and the weights belong together.");
        if (!tensor.shape.SequenceEqual(shape))
            throw new InvalidDataException($"{source}: {family.Theirs(name)} is [{string.Join(", ", tensor.shape)}]; this config needs [{string.Join(", ", shape)}].");
        if (!tensor.is_floating_point())
            throw new InvalidDataException($"{source}: {family.Theirs(name)} holds {tensor.dtype}; floating-point numbers are needed.");
        left.Remove(name);
        var kept = ofProducts ? type : ScalarType.Float32;
        if (tensor.dtype == kept && tensor.is_contiguous()) MappedBytes += tensor.numel() * tensor.element_size();
        using var scope = NewDisposeScope();
        return tensor.to(kept).contiguous().alias().DetachFromDisposeScope();
    }

    public void Dispose()
    {
        foreach (var tensor in tensors.Values) tensor.Dispose();
        tensors.Clear();
        files.Dispose();
    }

    // Reading gigabytes at every start would cost seconds: the config, every name and shape, and 4 KiB of every tensor.
    private static unsafe string HashOf(WeightFiles files, ConfigJson config)
    {
        const int Sample = 4096;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(config.ToString()));
        foreach (var (name, tensor) in files.Tensors.OrderBy(entry => entry.Key, StringComparer.Ordinal))
        {
            hash.AppendData(Encoding.UTF8.GetBytes($"\n{name} {tensor.Type} {string.Join(',', tensor.Shape)}\n"));
            hash.AppendData(new ReadOnlySpan<byte>(tensor.Data, (int)Math.Min(Sample, tensor.ByteLength)));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}

/// <summary>One published form of an architecture's checkpoints: how to recognise it, build it, and find its tensors.</summary>
/// <param name="Name">What it is called, for messages.</param>
/// <param name="Matches">Whether a config, with the names of the tensors beside it, is of this form.</param>
/// <param name="Build">Makes the model from the config, taking parameters by our names.</param>
/// <param name="Tensors">Their names and ours; {i} stands for a number, and a name that ends in a dot for all that begin so.</param>
public sealed record CheckpointFamily(
    string Name,
    Func<ConfigJson, IReadOnlyCollection<string>, bool> Matches,
    Func<ConfigJson, WeightSource, LanguageModel> Build,
    IReadOnlyList<(string Theirs, string Ours)> Tensors)
{
    /// <summary>A small config of this form, as JSON: what a trial or a test builds.</summary>
    public required string Example { get; init; }

    /// <summary>Their key in its current form, or null where it is no part of the model.</summary>
    public Func<string, string?> Clean { get; init; } = Standard;

    /// <summary>Splits, joins or reshapes their tensors, keyed by their names, before they are renamed.</summary>
    public Action<ConfigJson, IDictionary<string, Tensor>>? Adapt { get; init; }

    /// <summary>Drops what is stored but no parameter: rotary tables, causal masks, training counters.</summary>
    public static string? Standard(string name) =>
        name.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal) || name.EndsWith(".attention.bias", StringComparison.Ordinal) ||
        name.EndsWith(".attention.masked_bias", StringComparison.Ordinal) || name.Contains("metrics", StringComparison.Ordinal) ? null : name;

    /// <summary>Our name for one of theirs, or null where it is not known.</summary>
    public string? Ours(string name) => Translate(name, Tensors);

    /// <summary>Their name for one of ours, for messages.</summary>
    public string Theirs(string name) => Translate(name, [.. Tensors.Select(pair => (pair.Ours, pair.Theirs))]) ?? name;

    private static string? Translate(string name, IEnumerable<(string From, string To)> names)
    {
        foreach (var (from, to) in names)
        {
            string pattern = "^" + Regex.Escape(from).Replace("\\{i}", "([0-9]+)", StringComparison.Ordinal) + (from.EndsWith('.') ? "(.*)$" : "$");
            if (Regex.Match(name, pattern) is not { Success: true } match) continue;
            string result = from.Contains("{i}", StringComparison.Ordinal) ? to.Replace("{i}", match.Groups[1].Value, StringComparison.Ordinal) : to;
            return from.EndsWith('.') ? result + match.Groups[^1].Value : result;
        }
        return null;
    }
}
