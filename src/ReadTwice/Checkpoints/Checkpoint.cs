using ReadTwice.Models;
using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Checkpoints;

/// <summary>A folder as the Hugging Face hub has it, loaded: the model, what it was made from, and its tokenizer.</summary>
public sealed class Checkpoint : IDisposable
{
    private readonly CheckpointWeights? weights;
    private readonly Lazy<Tokenizer> tokenizer;

    private Checkpoint(
        string folder, ConfigJson config, CheckpointFamily family, CheckpointWeights? weights, ScalarType type, Quantization quantization,
        LanguageModel model, Func<Tokenizer> tokenizer)
    {
        (Folder, Config, Family, this.weights, Type, Quantization, Model) = (folder, config, family, weights, type, quantization, model);
        this.tokenizer = new(tokenizer);
    }

    /// <summary>Where it was loaded from.</summary>
    public string Folder { get; }

    /// <summary>The content of config.json; empty where the format has none.</summary>
    public ConfigJson Config { get; }

    /// <summary>The published form it is of.</summary>
    public CheckpointFamily Family { get; }

    /// <summary>The type its matrices are kept in.</summary>
    public ScalarType Type { get; }

    /// <summary>What the weights of its linear layers are rounded to.</summary>
    public Quantization Quantization { get; }

    /// <summary>The model, owned by the checkpoint.</summary>
    public LanguageModel Model { get; }

    /// <summary>The tokenizer of the same folder.</summary>
    public Tokenizer Tokenizer => tokenizer.Value;

    /// <summary>Tensors of the files that the model does not use; usually none.</summary>
    public IReadOnlyList<string> UnusedTensors => weights?.Unused ?? [];

    /// <summary>Bytes of parameters that lie in the mapped files and take no memory of their own.</summary>
    public long MappedBytes => weights?.MappedBytes ?? 0;

    /// <summary>Loads a checkpoint. Its weights are mapped, not read, where they are stored in the type that is asked for.</summary>
    /// <param name="folder">The folder, or a weight file with config.json beside it.</param>
    /// <param name="type">Float32 or BFloat16, for the matrices; norms, decays and the state are float32 always.</param>
    /// <param name="quantization">What the weights of linear layers are rounded to when the model reads; it then trains as without.</param>
    /// <param name="device">Where the model lies and computes, such as <see cref="Libtorch.Cuda"/>; null for the processor.</param>
    /// <exception cref="InvalidDataException">Something in the folder is missing, damaged or does not fit; the message says what.</exception>
    public static Checkpoint Load(string folder, ScalarType type = ScalarType.Float32, Quantization quantization = Quantization.None, Device? device = null)
    {
        if (type is not (ScalarType.Float32 or ScalarType.BFloat16))
            throw new ArgumentException($"A model is kept in float32 or bfloat16, not {type}: half precision is slow and inexact on a processor.");
        if (!Path.Exists(folder))
            throw new DirectoryNotFoundException($"{folder} does not exist; a folder with config.json and the weights is needed.");
        Libtorch.Require();
        var files = WeightFiles.Open(folder);
        CheckpointWeights? weights = null;
        try
        {
            var config = ReadConfig(folder);
            var family = Architectures.FamilyOf(config, [.. files.Tensors.Keys]);
            weights = new(files, config, family, type);
            var model = family.Build(config, new(weights, quantization, device));
            model.eval();
            return new(folder, config, family, weights, type, quantization, model, () => HfTokenizer.FromFolder(folder));
        }
        catch
        {
            if (weights is null) files.Dispose();
            else weights.Dispose();
            throw;
        }
    }

    /// <summary>Makes a model with random weights, to be trained or to show the way.</summary>
    /// <param name="name">What it is called in messages.</param>
    /// <param name="config">As config.json would have it.</param>
    /// <param name="tokenizer">Its tokenizer.</param>
    /// <param name="seed">The same seed gives the same weights.</param>
    /// <param name="type">Float32 or BFloat16, for the matrices.</param>
    /// <param name="quantization">What the weights of linear layers are rounded to when the model reads.</param>
    /// <param name="device">Where the model lies and computes; null for the processor.</param>
    public static Checkpoint New(
        string name, ConfigJson config, Tokenizer tokenizer, int seed, ScalarType type = ScalarType.Float32,
        Quantization quantization = Quantization.None, Device? device = null)
    {
        Libtorch.Require();
        var family = Architectures.FamilyOf(config, []);
        var model = family.Build(config, new(new FreshWeights(config, seed, type), quantization, device));
        model.eval();
        return new(name, config, family, null, type, quantization, model, () => tokenizer);
    }

    /// <inheritdoc/>
    public void Dispose() => Model.Dispose();

    private static ConfigJson ReadConfig(string folder)
    {
        string path = Path.Combine(Directory.Exists(folder) ? folder : Path.GetDirectoryName(Path.GetFullPath(folder))!, "config.json");
        return File.Exists(path) ? ConfigJson.Load(path) : ConfigJson.Parse("{}", path);
    }
}
