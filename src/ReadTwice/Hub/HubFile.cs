using System.Security.Cryptography;
using System.Text;

namespace ReadTwice.Hub;

/// <summary>A file of a model repository, as the hub lists it.</summary>
/// <param name="Path">Where it lies in the repository.</param>
/// <param name="Size">Its size in bytes; null where the hub does not say.</param>
/// <param name="Hash">SHA-256 of large files, git's blob hash (SHA-1) of small ones, in hexadecimal; null where the hub does not say.</param>
internal sealed record HubFile(string Path, long? Size, string? Hash)
{
    private const int Sha256Digits = 64, Sha1Digits = 40;

    private static readonly string[] texts = [".json", ".txt", ".model"];
    private static readonly string[] pickles = [".bin", ".pth", ".pt"];

    /// <summary>Whether the path stays inside the repository's folder.</summary>
    public bool IsInside => Path.Length > 0 && !System.IO.Path.IsPathRooted(Path) && !Path.Contains('\\') && !Path.Contains(':')
        && Path.Split('/').All(part => part is not ("" or "." or ".."));

    /// <summary>The files that loading needs: config, tokenizer, and weights in one format.</summary>
    public static IReadOnlyList<HubFile> Needed(IReadOnlyList<HubFile> all)
    {
        var top = all.Where(file => !file.Path.Contains('/')).ToList();
        bool Ends(HubFile file, string[] endings) => endings.Any(ending => file.Path.EndsWith(ending, StringComparison.OrdinalIgnoreCase));
        var safe = top.Where(file => file.Path.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase)).ToList();
        var weights = safe.Count > 0 ? safe : [.. top.Where(file => Ends(file, pickles) && !IsLeftover(file.Path))];
        string unused = safe.Count > 0 ? "pytorch_model.bin.index.json" : "model.safetensors.index.json";
        return [.. top.Where(file => Ends(file, texts) && file.Path != unused), .. weights];
    }

    /// <summary>Throws where a file's content is not what the hub says it is.</summary>
    /// <exception cref="InvalidDataException">Size or hash differ.</exception>
    public void Require(string downloaded)
    {
        long size = new FileInfo(downloaded).Length;
        if (Size is { } expected && size != expected)
            throw new InvalidDataException($"{Path}: {size} bytes arrived; the hub has {expected}. Pull again.");
        if (Hash is not { Length: Sha256Digits or Sha1Digits } hash) return;
        using var file = File.OpenRead(downloaded);
        string found = hash.Length == Sha256Digits ? Convert.ToHexStringLower(SHA256.HashData(file)) : BlobHash(file);
        if (!found.Equals(hash, StringComparison.OrdinalIgnoreCase))
            throw new InvalidDataException($"{Path}: the hash of what arrived is {found[..12]}; the hub has {hash[..12]}. Pull again.");
    }

    private static bool IsLeftover(string path) => path.StartsWith("optimizer", StringComparison.OrdinalIgnoreCase)
        || path.StartsWith("training_args", StringComparison.OrdinalIgnoreCase) || path.StartsWith("scheduler", StringComparison.OrdinalIgnoreCase);

    // git hashes a header with the length before the content.
    [System.Diagnostics.CodeAnalysis.SuppressMessage("Security", "CA5350", Justification = "It is what git names blobs by; it proves no origin.")]
    private static string BlobHash(FileStream file)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA1);
        hash.AppendData(Encoding.ASCII.GetBytes($"blob {file.Length}\0"));
        var buffer = new byte[1 << 16];
        for (int read; (read = file.Read(buffer)) > 0;) hash.AppendData(buffer.AsSpan(0, read));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
