using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace ReadTwice.Tokenizers;

/// <summary>The tokens: how each is spelled, its id and its bytes, and what stands for a character that is none.</summary>
internal sealed class Vocabulary
{
    // A file may name any id it likes, and the table is as long as the largest: those in use are near 2^18 at most.
    public const int MaxSize = 1 << 22;

    private static readonly JsonSerializerOptions readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly Dictionary<string, int> ids = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> idsBySpan;
    private readonly List<(string? Spelling, byte[] Bytes)> tokens = [];

    public Vocabulary() => idsBySpan = ids.GetAlternateLookup<ReadOnlySpan<char>>();

    public int Size => tokens.Count;

    /// <summary>The ids of the 256 single bytes, where characters that are no tokens fall back to their bytes.</summary>
    public int[]? ByteIds { get; set; }

    /// <summary>The id of a character that is no token; without one it is left out.</summary>
    public int? UnknownId { get; set; }

    /// <summary>Whether unknown characters in a row are one token.</summary>
    public bool FusesUnknown { get; set; }

    /// <summary>Adds a token. What is hidden has an id and bytes, but is no spelling that text can have.</summary>
    public void Add(string spelling, int id, byte[] bytes, bool hidden = false)
    {
        if (id is < 0 or >= MaxSize)
            throw new InvalidDataException($"token {Quote(spelling)} has id {id}; ids go from 0 to {MaxSize - 1}.");
        while (tokens.Count <= id) tokens.Add((null, []));
        if (tokens[id].Spelling is { } other)
            throw new InvalidDataException($"tokens {Quote(other)} and {Quote(spelling)} both have id {id}; ids must be unique.");
        if (!hidden && !ids.TryAdd(spelling, id))
            throw new InvalidDataException($"token {Quote(spelling)} has ids {ids[spelling]} and {id}; it needs one.");
        tokens[id] = (spelling, bytes);
    }

    public bool TryGetId(ReadOnlySpan<char> spelling, out int id) => idsBySpan.TryGetValue(spelling, out id);

    /// <summary>The id of the first of these tokens there is, hidden ones included.</summary>
    public int? Find(params ReadOnlySpan<string> spellings)
    {
        foreach (string spelling in spellings)
        {
            int id = tokens.FindIndex(token => token.Spelling == spelling);
            if (id >= 0) return id;
        }
        return null;
    }

    /// <summary>The id of the token that commonly ends a text.</summary>
    public int? FindEndOfText() => Find("<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>");

    public ReadOnlySpan<byte> Bytes(int id)
    {
        if (id < 0 || id >= tokens.Count)
        {
            throw new ArgumentOutOfRangeException(
                nameof(id), $"Token id {id} is not in this tokenizer; its ids are below {tokens.Count}.");
        }
        return tokens[id].Bytes;
    }

    /// <summary>Appends the ids of each character by itself.</summary>
    public void AppendCharacters(ReadOnlySpan<char> text, List<int> found)
    {
        bool afterUnknown = false;
        while (!text.IsEmpty)
        {
            int length = char.IsHighSurrogate(text[0]) ? 2 : 1;
            if (TryGetId(text[..length], out int id))
            {
                found.Add(id);
                afterUnknown = false;
            }
            else
            {
                afterUnknown = AppendUnknown(text[..length], afterUnknown, found);
            }
            text = text[length..];
        }
    }

    /// <summary>Appends what stands for a character that is no token; true where that is the unknown token.</summary>
    public bool AppendUnknown(ReadOnlySpan<char> character, bool afterUnknown, List<int> found)
    {
        if (ByteIds is not null)
        {
            Span<byte> bytes = stackalloc byte[4];
            int count = Encoding.UTF8.GetBytes(character, bytes);
            foreach (byte value in bytes[..count]) found.Add(ByteIds[value]);
            return false;
        }
        if (UnknownId is { } unknown && !(afterUnknown && FusesUnknown)) found.Add(unknown);
        return true;
    }

    /// <summary>A token for a message: short, and on one line.</summary>
    public static string Quote(string spelling) =>
        JsonSerializer.Serialize(spelling.Length <= 40 ? spelling : spelling[..40] + "...", readable);
}
