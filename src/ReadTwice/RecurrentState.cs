using System.Runtime.InteropServices;
using System.Security.Cryptography;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>What was read into a state.</summary>
/// <param name="Tokenizer">The tokenizer's hash, in hexadecimal.</param>
/// <param name="Reading">How the document was laid.</param>
/// <param name="Document">The hash of the document's text, in hexadecimal.</param>
public sealed record StateSource(string Tokenizer, string Reading, string Document);

/// <summary>All a model remembers of what it has read. Of a fixed size, however much that was (a Transformer's alone grows).</summary>
/// <remarks>Belongs to one reader at a time; <see cref="Clone"/> before asking two questions of one document.</remarks>
public sealed class RecurrentState : IDisposable
{
    private readonly LayerState[] layers;
    private byte[] tokenHash;

    internal RecurrentState(string model, string architecture, long batchSize, IEnumerable<LayerState> layers, LeftPadding? padding)
    {
        Model = model;
        Architecture = architecture;
        BatchSize = batchSize;
        this.layers = [.. layers];
        tokenHash = new byte[SHA256.HashSizeInBytes];
        Padding = padding;
    }

    /// <summary>The hash of the model that made it, in hexadecimal; see <see cref="ILanguageModel.Hash"/>.</summary>
    public string Model { get; }

    /// <summary>The name of that model's architecture.</summary>
    public string Architecture { get; }

    /// <summary>How many texts are read side by side.</summary>
    public long BatchSize { get; }

    /// <summary>How many tokens of each row were read, padding included.</summary>
    public long Position { get; private set; }

    /// <summary>The scores of the next token after what was read, [B, vocabulary]; null before anything was read.</summary>
    public Tensor? Logits { get; private set; }

    /// <summary>Where each row's text begins; null where nothing is padded.</summary>
    public LeftPadding? Padding { get; }

    /// <summary>What was read into it and how, for whoever loads it later; null where nobody said.</summary>
    public StateSource? Source { get; set; }

    /// <summary>A hash of the tokens read so far, in hexadecimal, the same however they were cut into pieces.</summary>
    public string TokenHash => Convert.ToHexStringLower(tokenHash);

    /// <summary>The number of layers.</summary>
    public int Count => layers.Length;

    /// <summary>What one layer remembers.</summary>
    public LayerState this[int layer] => layers[layer];

    /// <summary>The size of all layers' tensors in bytes.</summary>
    public long Bytes => layers.Sum(layer => layer.Bytes);

    /// <summary>A copy that shares nothing with this one.</summary>
    public RecurrentState Clone() => new(Model, Architecture, BatchSize, layers.Select(layer => layer.Clone()), Padding)
    {
        Position = Position,
        tokenHash = tokenHash,
        Logits = Logits?.clone().DetachFromDisposeScope(),
        Source = Source,
    };

    /// <summary>Writes the state to a file: all of it, or nothing.</summary>
    /// <exception cref="IOException">It could not be written; what was there before still is.</exception>
    public void Save(string path) => StateFile.Save(this, path);

    /// <summary>Reads a state that this model wrote.</summary>
    /// <exception cref="InvalidDataException">It is of another model, or damaged; the message says which.</exception>
    public static RecurrentState Load(string path, ILanguageModel model) => StateFile.Load(path, model);

    /// <summary>Notes that tokens [B, T] were read and what the model says of the next one, [B, vocabulary].</summary>
    internal void Advance(Tensor tokens, Tensor logits)
    {
        tokenHash = Chain(tokenHash, tokens);
        Position += tokens.size(1);
        Logits?.Dispose();
        Logits = logits.detach().clone().DetachFromDisposeScope();
    }

    /// <summary>Takes up where a saved state stood.</summary>
    internal RecurrentState Resume(long position, string hash, Tensor? logits)
    {
        Position = position;
        tokenHash = Convert.FromHexString(hash);
        Logits = logits?.DetachFromDisposeScope();
        return this;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var layer in layers) layer.Dispose();
        Logits?.Dispose();
        Logits = null;
    }

    // One link for each position: hash <- SHA-256(hash, ids of all rows), so pieces do not matter.
    private static byte[] Chain(byte[] hash, Tensor tokens)
    {
        using var columns = tokens.cpu().t().contiguous();   // [T, B]
        var ids = MemoryMarshal.Cast<byte, long>(columns.bytes);
        int B = (int)tokens.size(0);
        var link = new byte[hash.Length + B * sizeof(long)];
        hash.CopyTo(link, 0);
        for (int t = 0; t < ids.Length / B; t++)
        {
            MemoryMarshal.AsBytes(ids.Slice(t * B, B)).CopyTo(link.AsSpan(hash.Length));
            SHA256.HashData(link).CopyTo(link, 0);
        }
        return link[..hash.Length];
    }
}
