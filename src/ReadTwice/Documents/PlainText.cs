using System.Buffers;
using System.Text;

namespace ReadTwice.Documents;

/// <summary>Bytes as text, or a complaint that says at which byte they are none.</summary>
internal static class PlainText
{
    /// <summary>UTF-8, with or without its byte order mark, or UTF-16 with one.</summary>
    /// <exception cref="InvalidDataException">The bytes are neither, or hold a zero, which no text does.</exception>
    public static string Decode(ReadOnlySpan<byte> bytes, string name) => Marked(bytes, name) ?? Utf8(bytes, name);

    /// <summary>The text where a byte order mark says how it is written, else null.</summary>
    public static string? Marked(ReadOnlySpan<byte> bytes, string name) => bytes switch
    {
        [0xEF, 0xBB, 0xBF, ..] => Utf8(bytes, name)[1..],
        [0xFF, 0xFE, ..] => Utf16(bytes, bigEndian: false, name),
        [0xFE, 0xFF, ..] => Utf16(bytes, bigEndian: true, name),
        _ => null,
    };

    /// <summary>Refuses bytes with a zero among them.</summary>
    public static void RequireNoZero(ReadOnlySpan<byte> bytes, string name)
    {
        int zero = bytes.IndexOf((byte)0);
        if (zero >= 0)
            throw new InvalidDataException($"{name}: byte 0x00 at offset {zero}, so no text; convert it to UTF-8 text, HTML or PDF first.");
    }

    private static string Utf8(ReadOnlySpan<byte> bytes, string name)
    {
        RequireNoZero(bytes, name);
        if (System.Text.Unicode.Utf8.IsValid(bytes)) return Encoding.UTF8.GetString(bytes);
        int at = 0;
        while (Rune.DecodeFromUtf8(bytes[at..], out _, out int length) == OperationStatus.Done) at += length;
        throw new InvalidDataException($"{name}: byte 0x{bytes[at]:X2} at offset {at} is no UTF-8; save the file as UTF-8.");
    }

    private static string Utf16(ReadOnlySpan<byte> bytes, bool bigEndian, string name)
    {
        var encoding = new UnicodeEncoding(bigEndian, byteOrderMark: true, throwOnInvalidBytes: true);
        try
        {
            string text = encoding.GetString(bytes[2..]);
            int zero = text.IndexOf('\0');
            return zero < 0
                ? text
                : throw new InvalidDataException($"{name}: character U+0000 at offset {2 + 2 * zero}, so no text; save the file as UTF-8.");
        }
        catch (DecoderFallbackException)
        {
            throw new InvalidDataException($"{name}: begins as UTF-16 and does not go on as such; save the file as UTF-8.");
        }
    }
}
