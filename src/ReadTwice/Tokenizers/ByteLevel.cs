using System.Text;
using System.Text.RegularExpressions;

namespace ReadTwice.Tokenizers;

/// <summary>GPT-2's way to write any bytes as text: each byte is one printable character, a space "Ġ".</summary>
internal static partial class ByteLevel
{
    private static readonly char[] characters = new char[256];
    private static readonly Dictionary<char, byte> bytes = new(256);

    static ByteLevel()
    {
        int invisible = 0;
        for (int value = 0; value < 256; value++)
        {
            bool visible = value is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE;
            characters[value] = (char)(visible ? value : 256 + invisible++);
            bytes[characters[value]] = (byte)value;
        }
    }

    /// <summary>GPT-2's words: contractions, letters, digits or signs with the space before them, and other spaces.</summary>
    [GeneratedRegex(@"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")]
    public static partial Regex Words();

    /// <summary>The character that stands for a byte.</summary>
    public static char Character(byte value) => characters[value];

    /// <summary>The UTF-8 bytes of a text, a character each.</summary>
    public static string Spell(ReadOnlySpan<char> text) => string.Create(Encoding.UTF8.GetByteCount(text), text, Spell);

    /// <summary>The bytes of a token; one with a character that is no byte's stands for itself.</summary>
    public static byte[] Bytes(string token)
    {
        byte[] spelled = new byte[token.Length];
        for (int i = 0; i < token.Length; i++)
            if (!bytes.TryGetValue(token[i], out spelled[i])) return Encoding.UTF8.GetBytes(token);
        return spelled;
    }

    private static void Spell(Span<char> spelled, ReadOnlySpan<char> text)
    {
        Span<byte> utf8 = spelled.Length <= 256 ? stackalloc byte[256] : new byte[spelled.Length];
        Encoding.UTF8.GetBytes(text, utf8);
        for (int i = 0; i < spelled.Length; i++) spelled[i] = characters[utf8[i]];
    }
}
