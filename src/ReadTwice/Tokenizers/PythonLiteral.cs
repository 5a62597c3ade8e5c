using System.Globalization;
using System.Text;

namespace ReadTwice.Tokenizers;

/// <summary>Reads Python's string and bytes literals: 'text' and b'\xff', in either quotes.</summary>
internal static class PythonLiteral
{
    /// <summary>The bytes of the literal, those of text in UTF-8.</summary>
    /// <exception cref="InvalidDataException">It is no such literal.</exception>
    public static byte[] Parse(ReadOnlySpan<char> literal)
    {
        bool isBytes = literal.StartsWith("b");
        var quoted = isBytes ? literal[1..] : literal;
        if (quoted.Length < 2 || quoted[0] is not ('\'' or '"') || quoted[^1] != quoted[0])
            throw Wrong(literal, "quotes at both ends are needed");

        var parsed = new List<byte>(quoted.Length);
        var rest = quoted[1..^1];
        while (!rest.IsEmpty)
        {
            if (rest[0] == quoted[0]) throw Wrong(literal, "a quote inside needs a backslash before it");
            int value, length;
            if (rest[0] == '\\')
            {
                (value, length) = Escape(rest, literal);
            }
            else
            {
                Rune.DecodeFromUtf16(rest, out var rune, out length);
                value = rune.Value;
            }
            Append(value, isBytes, parsed, literal);
            rest = rest[length..];
        }
        return [.. parsed];
    }

    private static (int Value, int Length) Escape(ReadOnlySpan<char> rest, ReadOnlySpan<char> literal) => rest[1..] switch
    {
        ['n', ..] => ('\n', 2),
        ['t', ..] => ('\t', 2),
        ['r', ..] => ('\r', 2),
        ['a', ..] => ('\a', 2),
        ['b', ..] => ('\b', 2),
        ['f', ..] => ('\f', 2),
        ['v', ..] => ('\v', 2),
        ['0', ..] => ('\0', 2),
        ['\\' or '\'' or '"', ..] => (rest[1], 2),
        ['x', ..] => (Hex(rest, 2, literal), 4),
        ['u', ..] => (Hex(rest, 4, literal), 6),
        ['U', ..] => (Hex(rest, 8, literal), 10),
        _ => throw Wrong(literal, $"{Vocabulary.Quote(rest[..Math.Min(2, rest.Length)].ToString())} is no known escape"),
    };

    private static int Hex(ReadOnlySpan<char> rest, int digits, ReadOnlySpan<char> literal) =>
        rest.Length >= 2 + digits && int.TryParse(rest.Slice(2, digits), NumberStyles.AllowHexSpecifier, null, out int value)
            ? value : throw Wrong(literal, $"{digits} hexadecimal digits are needed after \\{rest[1]}");

    private static void Append(int value, bool isBytes, List<byte> parsed, ReadOnlySpan<char> literal)
    {
        if (isBytes)
        {
            if (value is < 0 or > 255) throw Wrong(literal, "a character is no byte");
            parsed.Add((byte)value);
            return;
        }
        if (!Rune.IsValid(value)) throw Wrong(literal, $"U+{value:X} is no character");
        Span<byte> utf8 = stackalloc byte[4];
        parsed.AddRange(utf8[..new Rune(value).EncodeToUtf8(utf8)]);
    }

    private static InvalidDataException Wrong(ReadOnlySpan<char> literal, string why) =>
        new($"{Vocabulary.Quote(literal.ToString())} is no Python literal: {why}.");
}
