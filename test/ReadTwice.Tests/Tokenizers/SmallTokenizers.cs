using System.Text;
using System.Text.Json;
using ReadTwice.Tokenizers;
using Kind = ReadTwice.Tokenizers.SentencePieceFile.Kind;

namespace ReadTwice.Tests;

/// <summary>The files of tokenizers small enough to be made in a test.</summary>
internal static class SmallTokenizers
{
    public static readonly string[] Merges =
    [
        "h e", "t he", "Ġ the", "Ġ a", "i n", "l l", "o r", "e r", "he ll", "hell o", "Ġ w", "or l", "Ġw orl", "Ġworl d",
        "1 2", "12 3", "Ã ©", "ä ¸", "ä¸ Ń", "ð Ł", "ðŁ ĺ", "Ġ Ġ", "ĠĠ ĠĠ", "' s", "a a", "aa aa", "aaaa aaaa",
    ];

    /// <summary>The 256 bytes, what the merges lead to, and "&lt;|endoftext|>".</summary>
    public static Dictionary<string, int> Vocabulary()
    {
        var ids = new Dictionary<string, int>();
        for (int value = 0; value < 256; value++) ids.Add(Spelled((byte)value), value);
        foreach (string merge in Merges) ids.Add(merge.Replace(" ", "", StringComparison.Ordinal), ids.Count);
        ids.Add("<|endoftext|>", ids.Count);
        return ids;
    }

    /// <summary>GPT-2's way to write a byte, from its description: printable Latin-1 as it is, the rest from U+0100 on.</summary>
    private static string Spelled(byte value)
    {
        var visible = Enumerable.Range('!', 94).Concat(Enumerable.Range('¡', 12)).Concat(Enumerable.Range('®', 82)).ToList();
        var invisible = Enumerable.Range(0, 256).Except(visible).ToList();
        return ((char)(visible.Contains(value) ? value : 256 + invisible.IndexOf(value))).ToString();
    }

    public static string VocabularyJson => JsonSerializer.Serialize(Vocabulary());

    public static string MergesText => "#version: 0.2\n" + string.Join('\n', Merges) + "\n";

    /// <summary>A byte-level tokenizer.json; any member can be given otherwise, as JSON.</summary>
    public static string ByteLevelJson(
        string preTokenizer = """{"type": "ByteLevel", "add_prefix_space": false}""", string normalizer = "null",
        string addedTokens = "[]", string model = "", string? vocabulary = null, string? merges = null) => $$"""
        {"added_tokens": {{addedTokens}}, "normalizer": {{normalizer}}, "pre_tokenizer": {{preTokenizer}},
         "decoder": {"type": "ByteLevel"},
         "model": {"type": "BPE", {{model}} "vocab": {{vocabulary ?? VocabularyJson}},
           "merges": {{merges ?? JsonSerializer.Serialize(Merges)}}
         } }
        """;

    public static Tokenizer ByteLevel() => FromJson(ByteLevelJson());

    public static Tokenizer FromJson(string json) => TokenizerJson.Read(Encoding.UTF8.GetBytes(json), "");

    /// <summary>Three special pieces, the 256 bytes if wanted, and these pieces, each scored one below that before it.</summary>
    public static byte[] SentencePieceModel(
        string[] pieces, long model = 2, bool byteFallback = true, bool addsSpace = true, bool removesSpaces = false,
        string[]? userDefined = null, byte[]? characterMap = null)
    {
        var file = new MemoryStream();
        Piece("<unk>", 0, Kind.Unknown);
        Piece("<s>", 0, Kind.Control);
        Piece("</s>", 0, Kind.Control);
        for (int value = 0; byteFallback && value < 256; value++) Piece($"<0x{value:X2}>", 0, Kind.Byte);
        foreach (string text in userDefined ?? []) Piece(text, 0, Kind.UserDefined);
        foreach (var (i, text) in pieces.Index()) Piece(text, -i - 1, Kind.Normal);
        Message(file, 2, [.. Number(3, model), .. Number(35, byteFallback ? 1 : 0)]);
        Message(file, 3, [.. Bytes(2, characterMap ?? []), .. Number(3, addsSpace ? 1 : 0), .. Number(4, removesSpaces ? 1 : 0)]);
        return file.ToArray();

        void Piece(string text, float score, Kind kind) => Message(file, 1,
            [.. Bytes(1, Encoding.UTF8.GetBytes(text)), (2 << 3) | 5, .. BitConverter.GetBytes(score), .. Number(3, (long)kind)]);
    }

    /// <summary>Bytes one more than whose value is their id, and these lines.</summary>
    public static byte[] RwkvLines(params string[] more)
    {
        var bytes = Enumerable.Range(0, 256).Select(value => $"{value + 1} {(value < 128 ? "" : "b")}'\\x{value:x2}' 1");
        return Encoding.UTF8.GetBytes(string.Join('\n', [.. bytes, .. more]) + "\n");
    }

    private static void Message(MemoryStream file, int field, byte[] content) => file.Write(Bytes(field, content));

    private static byte[] Bytes(int field, byte[] content) =>
        [.. Varint((field << 3) | 2), .. Varint(content.Length), .. content];

    private static byte[] Number(int field, long value) => [.. Varint(field << 3), .. Varint(value)];

    private static List<byte> Varint(long value)
    {
        var bytes = new List<byte>();
        for (; value > 127; value >>= 7) bytes.Add((byte)(value | 128));
        bytes.Add((byte)value);
        return bytes;
    }
}
