using System.Security.Cryptography;
using System.Text.Json;
using ReadTwice.Tokenizers;

namespace ReadTwice;

/// <summary>Opens the tokenizers of published models, from the files they are published with.</summary>
/// <remarks>
/// Own code throughout, since Microsoft.ML.Tokenizers has no reader of tokenizer.json, matches halves of characters beyond
/// U+FFFF, and takes quadratic time on long words.
/// </remarks>
public static class HfTokenizer
{
    private const string Needed = "tokenizer.json, vocab.json (or encoder.json) with merges.txt (or vocab.bpe), " +
        "tokenizer.model, or rwkv_vocab_*.txt";

    // Far above any tokenizer, and below what one array can hold.
    private const long LargestFile = 1L << 30;

    /// <summary>The tokenizer in a folder laid out as on the Hugging Face hub, or in a file given directly.</summary>
    /// <remarks>
    /// The first of these counts: tokenizer.json (or the only *tokenizer*.json there is); vocab.json or encoder.json with
    /// merges.txt or vocab.bpe, and added_tokens.json if present; tokenizer.model; rwkv_vocab_*.txt.
    /// </remarks>
    /// <exception cref="DirectoryNotFoundException">There is no such folder, or no tokenizer in it.</exception>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A file is damaged or of an unsupported kind; the message says what.</exception>
    public static Tokenizer FromFolder(string path)
    {
        if (File.Exists(path)) return FromFile(path);
        if (Directory.Exists(path))
            return Find(path) ?? throw new DirectoryNotFoundException(
                $"{path} holds no tokenizer, or several of one kind; needed: {Needed}.");
        if (Path.HasExtension(path)) throw new FileNotFoundException(
            $"{path} does not exist; needed: {Needed}, or their folder.", path);
        throw new DirectoryNotFoundException($"{path} does not exist; a folder is needed with {Needed}.");
    }

    private static Tokenizer? Find(string folder)
    {
        string? path = In(folder, "tokenizer.json") ?? Only(folder, "*tokenizer*.json");
        if (path is null && In(folder, "merges.txt", "vocab.bpe") is not null) path = In(folder, "vocab.json", "encoder.json");
        path ??= In(folder, "tokenizer.model") ?? Only(folder, "rwkv_vocab_*.txt");
        return path is null ? null : FromFile(path);
    }

    private static Tokenizer FromFile(string path)
    {
        string name = Path.GetFileName(path), folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        if (name is "vocab.json" or "encoder.json") return Gpt2(path, In(folder, "merges.txt", "vocab.bpe") ??
            throw new FileNotFoundException($"{folder} has {name} and neither merges.txt nor vocab.bpe; one of them is needed."));
        if (name is "merges.txt" or "vocab.bpe") return Gpt2(In(folder, "vocab.json", "encoder.json") ??
            throw new FileNotFoundException(
                $"{folder} has {name} and neither vocab.json nor encoder.json; one of them is needed."), path);
        if (name.EndsWith(".json", StringComparison.OrdinalIgnoreCase)) return Read(path, TokenizerJson.Read);
        if (name.Contains(".model", StringComparison.Ordinal)) return Read(path, SentencePiece.Read);
        if (name.EndsWith(".txt", StringComparison.Ordinal)) return Read(path, (content, hash) => new RwkvWorld(content, hash));
        throw new InvalidDataException($"{path} is no tokenizer by its name; needed: {Needed}.");
    }

    private static PipelineTokenizer Gpt2(string ids, string merges)
    {
        string? added = In(Path.GetDirectoryName(Path.GetFullPath(ids))!, "added_tokens.json");
        byte[][] files = [.. ((string?[])[ids, merges, added]).OfType<string>().Select(Content)];
        var vocabulary = Read(ids, () => Gpt2Files.ReadVocabulary(files[0]));
        var bpe = Read(merges, () => Gpt2Files.ReadMerges(files[1], vocabulary));
        var addedTokens = added is null ? new([]) : Read(added, () => Gpt2Files.ReadAddedTokens(files[2], vocabulary));
        return new PipelineTokenizer(vocabulary, bpe, PreTokenizers.Gpt2, Hash(files), vocabulary.FindEndOfText())
        {
            AddedToRaw = addedTokens,
        };
    }

    private static Tokenizer Read(string path, Func<byte[], string, Tokenizer> read)
    {
        byte[] content = Content(path);
        return Read(path, () => read(content, Hash(content)));
    }

    private static T Read<T>(string path, Func<T> read)
    {
        try
        {
            return read();
        }
        // JsonElement throws InvalidOperationException for a value of another kind, and for half a surrogate pair.
        catch (Exception e) when (e is InvalidDataException or JsonException or InvalidOperationException)
        {
            throw new InvalidDataException($"{path}: {e.Message.ReplaceLineEndings(" ")}", e);
        }
    }

    private static byte[] Content(string path)
    {
        long length = new FileInfo(path).Length;
        return length <= LargestFile
            ? File.ReadAllBytes(path)
            : throw new InvalidDataException($"{path} holds {length} bytes; a tokenizer's file has at most {LargestFile}.");
    }

    private static string Hash(params byte[][] files)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (byte[] file in files) hash.AppendData(file);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static string? In(string folder, params string[] names) =>
        names.Select(name => Path.Combine(folder, name)).FirstOrDefault(File.Exists);

    private static string? Only(string folder, string pattern)
    {
        // A hub folder's tokenizer_config.json says how a tokenizer is used, and is none itself.
        string[] found =
            [.. Directory.GetFiles(folder, pattern).Where(file => Path.GetFileName(file) != "tokenizer_config.json")];
        return found.Length == 1 ? found[0] : null;
    }
}
