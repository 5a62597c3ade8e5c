using System.Buffers.Binary;
using System.Text;

namespace ReadTwice.Tokenizers;

/// <summary>SentencePiece's "precompiled_charsmap": which strings of characters a text has replaced, and by what.</summary>
/// <remarks>
/// The length of a double-array trie over UTF-8, the trie, and the replacements, each ended by a zero byte. A unit of the
/// trie has a label in its lowest 8 bits, whether a value follows in bit 8, and where its children are in bits 9 to 31.
/// </remarks>
internal sealed class CharacterMap
{
    private readonly uint[] units;
    private readonly byte[] replacements;

    public CharacterMap(ReadOnlySpan<byte> blob)
    {
        uint length = blob.Length < 4 ? 0 : BinaryPrimitives.ReadUInt32LittleEndian(blob);
        if (length == 0 || length % 4 != 0 || length > blob.Length - 4)
            throw new InvalidDataException(
                $"the map of characters names {length} bytes of trie; a multiple of 4 within its {blob.Length} bytes is needed.");
        units = new uint[length / 4];
        for (int i = 0; i < units.Length; i++) units[i] = BinaryPrimitives.ReadUInt32LittleEndian(blob[(4 + 4 * i)..]);
        replacements = blob[(4 + (int)length)..].ToArray();
    }

    /// <summary>The text with every string that is mapped replaced, the longest first.</summary>
    public string Apply(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        var mapped = new MemoryStream(bytes.Length);
        for (int at = 0; at < bytes.Length;)
        {
            var (length, replacement) = Longest(bytes.AsSpan(at));
            if (length == 0)
            {
                Rune.DecodeFromUtf8(bytes.AsSpan(at), out _, out length);
                replacement = at..(at + length);
                mapped.Write(bytes.AsSpan(replacement));
            }
            else
            {
                mapped.Write(replacements.AsSpan(replacement));
            }
            at += length;
        }
        return Encoding.UTF8.GetString(mapped.GetBuffer().AsSpan(0, (int)mapped.Length));
    }

    private (int Length, Range Replacement) Longest(ReadOnlySpan<byte> text)
    {
        var longest = (0, 0..0);
        uint node = Children(units[0]);
        for (int i = 0; i < text.Length; i++)
        {
            node ^= text[i];
            if (node >= units.Length || (units[node] & 0x800000FF) != text[i]) break;
            bool hasValue = (units[node] & 0x100) != 0;
            node ^= Children(units[node]);
            if (hasValue && node < units.Length && Replacement(units[node] & int.MaxValue) is { } replacement)
                longest = (i + 1, replacement);
        }
        return longest;
    }

    private static uint Children(uint unit) => (unit >> 10) << (int)((unit & 0x200) >> 6);

    private Range? Replacement(uint start)
    {
        if (start >= replacements.Length) return null;
        int length = replacements.AsSpan((int)start).IndexOf((byte)0);
        return length < 0 ? null : (int)start..((int)start + length);
    }
}
