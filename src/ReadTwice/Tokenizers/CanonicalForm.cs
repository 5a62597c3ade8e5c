using System.Globalization;
using System.Text;

namespace ReadTwice.Tokenizers;

/// <summary>Unicode's canonical forms: NFC, where é is one character, and NFD, where it is two.</summary>
/// <remarks>An own one, since string.Normalize gives back its text unchanged in a program with invariant globalization.</remarks>
internal static class CanonicalForm
{
    private const int S = 0xAC00, L = 0x1100, V = 0x1161, T = 0x11A7;   // Hangul: syllables and their three kinds of parts
    private const int VCount = 21, TCount = 28, SCount = 19 * VCount * TCount;

    private static readonly Dictionary<int, int[]> parts = [];
    private static readonly Dictionary<(int First, int Second), int> composites = [];
    private static readonly Dictionary<int, byte> classes = [];

    static CanonicalForm()
    {
        foreach (string entry in CanonicalData.Decompositions.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries))
        {
            int sign = entry.AsSpan().IndexOfAny('=', '>');
            int code = Hex(entry[..sign]);
            foreach (string one in entry[(sign + 1)..].Split(','))
            {
                int[] codes = [.. one.Split('+').Select(Hex)];
                if (entry[sign] == '=') composites[(codes[0], codes[1])] = code;
                parts[code++] = codes;
            }
        }
        foreach (string entry in CanonicalData.Classes.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries))
        {
            string[] range = entry.Split(':', '-');
            for (int code = Hex(range[0]); code <= Hex(range[^2]); code++) classes[code] = byte.Parse(range[^1]);
        }
    }

    /// <summary>NFC.</summary>
    public static string Compose(string text)
    {
        // Nothing below U+0300 joins with what is below it.
        if (!text.AsSpan().ContainsAnyInRange('\u0300', '\uFFFF')) return text;
        var codes = Parts(text);
        int kept = 0, starter = -1, last = 0;
        foreach (int code in codes)
        {
            int own = Class(code);
            if (starter >= 0 && (last == 0 || last < own) && TryCompose(codes[starter], code, out int composite))
            {
                codes[starter] = composite;
                continue;
            }
            if (own == 0) starter = kept;
            last = own;
            codes[kept++] = code;
        }
        return Text(codes.AsSpan(0, kept));
    }

    /// <summary>NFD.</summary>
    public static string Decompose(string text) => Ascii.IsValid(text) ? text : Text(Parts(text));

    private static int[] Parts(string text)
    {
        var codes = new List<int>(text.Length);
        foreach (var rune in text.EnumerateRunes()) AppendParts(rune.Value, codes);
        int[] ordered = [.. codes];
        for (int start = 0; start < ordered.Length; start++)
        {
            int end = start;
            while (end < ordered.Length && Class(ordered[end]) != 0) end++;
            if (end - start > 1) ordered[start..end].OrderBy(Class).ToArray().CopyTo(ordered, start);
            start = end;
        }
        return ordered;
    }

    private static void AppendParts(int code, List<int> codes)
    {
        if (code is >= S and < S + SCount)
        {
            codes.Add(L + (code - S) / TCount / VCount);
            codes.Add(V + (code - S) / TCount % VCount);
            if ((code - S) % TCount != 0) codes.Add(T + (code - S) % TCount);
        }
        else if (code >= 0xC0 && parts.TryGetValue(code, out int[]? own))
        {
            foreach (int part in own) AppendParts(part, codes);
        }
        else
        {
            codes.Add(code);
        }
    }

    private static bool TryCompose(int first, int second, out int composite)
    {
        if (first is >= L and < L + 19 && second is >= V and < V + VCount)
            composite = S + ((first - L) * VCount + (second - V)) * TCount;
        else if (first is >= S and < S + SCount && (first - S) % TCount == 0 && second is > T and < T + TCount)
            composite = first + (second - T);
        else
            return composites.TryGetValue((first, second), out composite);
        return true;
    }

    private static byte Class(int code) => code < 0x300 ? (byte)0 : classes.GetValueOrDefault(code);

    private static int Hex(string digits) => int.Parse(digits, NumberStyles.HexNumber);

    private static string Text(ReadOnlySpan<int> codes)
    {
        var text = new StringBuilder(codes.Length);
        Span<char> characters = stackalloc char[2];
        foreach (int code in codes) text.Append(characters[..new Rune(code).EncodeToUtf16(characters)]);
        return text.ToString();
    }
}
