using System.Buffers;
using System.Globalization;
using System.Text;

namespace ReadTwice.Evaluation;

/// <summary>What Python's str does to text, where a prompt is to be the authors' to the byte and .NET's own would differ.</summary>
internal static class PythonText
{
    // Python counts the separators U+001C to U+001F as white space; .NET does not.
    private static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\u001C' and <= '\u001F';

    /// <summary>str.strip(): without white space at both ends.</summary>
    public static string Strip(string text)
    {
        int start = 0, end = text.Length;
        while (start < end && IsSpace(text[start])) start++;
        while (end > start && IsSpace(text[end - 1])) end--;
        return text[start..end];
    }

    /// <summary>str.strip("x"): without that character, however often it stands at either end.</summary>
    public static string Strip(string text, char c) => text.Trim(c);

    /// <summary>Drops an ending, in any case and as often as it stands there.</summary>
    /// <remarks>
    /// Lower-cased copies are compared, but as many characters are dropped as the ending has before lower-casing: where lower-casing
    /// changes the length (İ), the authors drop the wrong number, and so does this.
    /// </remarks>
    public static string WithoutEndings(string text, string ending)
    {
        string lower = Lower(ending);
        if (lower.Length == 0) throw new ArgumentException("the ending is empty: every text ends with it.", nameof(ending));
        int count = Length(ending);
        while (Lower(text).EndsWith(lower, StringComparison.Ordinal)) text = WithoutLast(text, count);
        return text;
    }

    /// <summary>len(text): how many code points there are.</summary>
    public static int Length(string text)
    {
        int low = 0;
        foreach (char c in text)
            if (char.IsLowSurrogate(c)) low++;
        return text.Length - low;
    }

    /// <summary>text[:-count]: without that many code points at the end.</summary>
    public static string WithoutLast(string text, int count)
    {
        int end = text.Length;
        for (; count > 0 && end > 0; count--)
            end -= Rune.DecodeLastFromUtf16(text.AsSpan(0, end), out _, out int units) == OperationStatus.Done ? units : 1;
        return text[..end];
    }

    /// <summary>str.lower(): letter by letter, but for İ, which becomes two characters, and Σ, which has a form of its own at the end of a word.</summary>
    public static string Lower(string text)
    {
        string lower = text.ToLowerInvariant();
        if (text.AsSpan().IndexOfAny('\u0130', 'Σ') < 0) return lower;
        var result = new StringBuilder(lower.Length + 8);
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '\u0130') result.Append("i\u0307");
            else result.Append(text[i] == 'Σ' && EndsWord(text, i) ? 'ς' : lower[i]);
        }
        return result.ToString();
    }

    /// <summary>text[0].upper() + text[1:]: with a capital, which for some letters is two or three (ß, ﬁ).</summary>
    public static string Capitalize(string text)
    {
        if (text.Length == 0) return text;
        Rune.DecodeFromUtf16(text, out var first, out int units);
        return (LongCapital(first.Value) ?? Rune.ToUpperInvariant(first).ToString()) + text[units..];
    }

    private static bool EndsWord(string text, int sigma)
    {
        var before = Letter(text.AsSpan(0, sigma), fromEnd: true);
        return before is not null && IsCased(before.Value)
            && !(Letter(text.AsSpan(sigma + 1), fromEnd: false) is { } after && IsCased(after));
    }

    // The nearest character that counts: accents, apostrophes, full stops and colons inside a word do not.
    private static Rune? Letter(ReadOnlySpan<char> text, bool fromEnd)
    {
        while (!text.IsEmpty)
        {
            Rune rune;
            int units;
            if (fromEnd) Rune.DecodeLastFromUtf16(text, out rune, out units);
            else Rune.DecodeFromUtf16(text, out rune, out units);
            if (!IsIgnored(rune)) return rune;
            text = fromEnd ? text[..^units] : text[units..];
        }
        return null;
    }

    private static bool IsCased(Rune rune) => Rune.ToUpperInvariant(rune) != rune || Rune.ToLowerInvariant(rune) != rune
        || Rune.GetUnicodeCategory(rune)
            is UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter;

    private static bool IsIgnored(Rune rune) => Rune.GetUnicodeCategory(rune)
        is UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark or UnicodeCategory.Format
        or UnicodeCategory.ModifierLetter or UnicodeCategory.ModifierSymbol
        || rune.IsBmp && "'.:\u00B7\u0387\u055F\u05F4\u2018\u2019\u2024\u2027\uFE13\uFE52\uFE55\uFF07\uFF0E\uFF1A".AsSpan().Contains((char)rune.Value);

    // Unicode's SpecialCasing, and the two letters whose capital .NET leaves out because it is plain ASCII (ı, ſ).
    private static string? LongCapital(int letter) => letter switch
    {
        0x131 => "I",
        0x17F => "S",
        0xDF => "SS",
        0x149 => "\u02BCN",
        0x1F0 => "J\u030C",
        0x390 or 0x1FD3 => "\u0399\u0308\u0301",
        0x3B0 or 0x1FE3 => "\u03A5\u0308\u0301",
        0x587 => "\u0535\u0552",
        0x1E96 => "H\u0331",
        0x1E97 => "T\u0308",
        0x1E98 => "W\u030A",
        0x1E99 => "Y\u030A",
        0x1E9A => "A\u02BE",
        0x1F50 => "\u03A5\u0313",
        0x1F52 => "\u03A5\u0313\u0300",
        0x1F54 => "\u03A5\u0313\u0301",
        0x1F56 => "\u03A5\u0313\u0342",
        // Eight vowels with breathings and iota below, small and then capital; the capital keeps the breathing, the iota follows.
        >= 0x1F80 and <= 0x1F8F => $"{(char)(0x1F08 + letter % 8)}\u0399",
        >= 0x1F90 and <= 0x1F9F => $"{(char)(0x1F28 + letter % 8)}\u0399",
        >= 0x1FA0 and <= 0x1FAF => $"{(char)(0x1F68 + letter % 8)}\u0399",
        0x1FB2 => "\u1FBA\u0399",
        0x1FB3 or 0x1FBC => "\u0391\u0399",
        0x1FB4 => "\u0386\u0399",
        0x1FB6 => "\u0391\u0342",
        0x1FB7 => "\u0391\u0342\u0399",
        0x1FC2 => "\u1FCA\u0399",
        0x1FC3 or 0x1FCC => "\u0397\u0399",
        0x1FC4 => "\u0389\u0399",
        0x1FC6 => "\u0397\u0342",
        0x1FC7 => "\u0397\u0342\u0399",
        0x1FD2 => "\u0399\u0308\u0300",
        0x1FD6 => "\u0399\u0342",
        0x1FD7 => "\u0399\u0308\u0342",
        0x1FE2 => "\u03A5\u0308\u0300",
        0x1FE4 => "\u03A1\u0313",
        0x1FE6 => "\u03A5\u0342",
        0x1FE7 => "\u03A5\u0308\u0342",
        0x1FF2 => "\u1FFA\u0399",
        0x1FF3 or 0x1FFC => "\u03A9\u0399",
        0x1FF4 => "\u038F\u0399",
        0x1FF6 => "\u03A9\u0342",
        0x1FF7 => "\u03A9\u0342\u0399",
        0xFB00 => "FF",
        0xFB01 => "FI",
        0xFB02 => "FL",
        0xFB03 => "FFI",
        0xFB04 => "FFL",
        0xFB05 or 0xFB06 => "ST",
        0xFB13 => "\u0544\u0546",
        0xFB14 => "\u0544\u0535",
        0xFB15 => "\u0544\u053B",
        0xFB16 => "\u054E\u0546",
        0xFB17 => "\u0544\u053D",
        _ => null,
    };
}
