using System.Globalization;
using System.Text;
using System.Text.Json;

namespace ReadTwice.Tokenizers;

/// <summary>The "decoder" of a tokenizer.json: which bytes the spelling of a token stands for.</summary>
internal sealed class TokenSpelling
{
    private readonly List<(string Spelled, string Meant)> replacements = [];
    private bool isByteLevel, hasByteTokens;

    /// <summary>Without a decoder a token stands for its spelling, or for bytes where the pre-tokenizer spells them.</summary>
    public TokenSpelling(JsonElement? decoder, JsonElement? preTokenizer)
    {
        if (decoder is { } element) Read(element);
        else isByteLevel = preTokenizer is { } cutter && SpellsBytes(cutter);
    }

    /// <summary>Whether the space before the first token is not the text's.</summary>
    public bool DropsLeadingSpace { get; private set; }

    public byte[] Bytes(string token)
    {
        if (isByteLevel) return ByteLevel.Bytes(token);
        if (hasByteTokens && Byte(token) is { } value) return [value];
        foreach (var (spelled, meant) in replacements) token = token.Replace(spelled, meant, StringComparison.Ordinal);
        return Encoding.UTF8.GetBytes(token);
    }

    /// <summary>The bytes of an added token, which is found in plain text and so is not spelled as bytes.</summary>
    public byte[] AddedBytes(string token) => isByteLevel ? Encoding.UTF8.GetBytes(token) : Bytes(token);

    /// <summary>The spelling of the token for a byte, where characters fall back to bytes.</summary>
    public static string ByteToken(int value) => $"<0x{value:X2}>";

    /// <summary>The byte that such a token is for, or null.</summary>
    public static byte? Byte(string token) =>
        token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>' &&
        byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, null, out byte value) ? value : null;

    private void Read(JsonElement decoder)
    {
        switch (decoder.Type())
        {
            case "ByteLevel":
                isByteLevel = true;
                break;
            case "ByteFallback":
                hasByteTokens = true;
                break;
            case "Fuse":
                break;
            case "Replace":
                replacements.Add((decoder.Need("pattern", JsonValueKind.Object).NeedText("String"), decoder.NeedText("content")));
                if (replacements[^1].Spelled.Length == 0)
                    throw new InvalidDataException("a decoder replaces an empty string; one or more characters are needed.");
                break;
            case "Metaspace":
                replacements.Add((decoder.NeedText("replacement"), " "));
                DropsLeadingSpace = decoder.Find("prepend_scheme") is not null
                    ? decoder.NeedText("prepend_scheme") != "never" : decoder.Flag("add_prefix_space", true);
                break;
            case "Strip":
                DropsLeadingSpace = ReadStrip(decoder);
                break;
            case "Sequence":
                foreach (var step in decoder.Need("decoders", JsonValueKind.Array).EnumerateArray()) Read(step);
                break;
            default:
                throw new InvalidDataException($"decoder {Vocabulary.Quote(decoder.Type())} is not supported; " +
                    "ByteLevel, ByteFallback, Fuse, Replace, Metaspace, Strip and Sequence are.");
        }
    }

    private static bool ReadStrip(JsonElement decoder)
    {
        string content = decoder.NeedText("content");
        int start = decoder.NeedId("start"), stop = decoder.NeedId("stop");
        if (content != " " || start is not (0 or 1) || stop != 0)
            throw new InvalidDataException($"decoder \"Strip\" takes {start} and {stop} of {Vocabulary.Quote(content)} " +
                "off the ends; only one space at the start is supported.");
        return start == 1;
    }

    private static bool SpellsBytes(JsonElement preTokenizer) => preTokenizer.Type() switch
    {
        "ByteLevel" => true,
        "Sequence" => preTokenizer.Need("pretokenizers", JsonValueKind.Array).EnumerateArray().Any(SpellsBytes),
        _ => false,
    };
}
