using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace ReadTwice.Tokenizers;

/// <summary>A regular expression or a plain string that cuts a text, by Unicode characters and never by halves of them.</summary>
/// <remarks>
/// .NET matches 16-bit units, and half a character is neither letter nor digit; the tokenizers' authors matched whole
/// characters. So a character beyond U+FFFF is matched in the guise of one below, of the same general category.
/// </remarks>
internal sealed class TextPattern
{
    // A pattern comes from a file: one that backtracks without end must not hold its reader for ever.
    private static readonly TimeSpan usualPatience = TimeSpan.FromSeconds(10);

    // What is written alike and means the same in the two dialects of regular expressions.
    private const string CommonEscapes = "sSdDpPrntfvuxAzZ";

    private static readonly char[] guises = Guises();

    private readonly Regex? regex;
    private readonly string literal = "";

    /// <summary>A pattern known to take linear time.</summary>
    public TextPattern(Regex regex) => this.regex = regex;

    private TextPattern(string literal) => this.literal = literal;

    /// <summary>A plain string.</summary>
    public static TextPattern Literal(string literal) =>
        literal.Length > 0 ? new(literal) :
        throw new InvalidDataException("a pattern is empty; one or more characters are needed.");

    /// <summary>A regular expression in the dialect of tokenizer.json, as far as .NET's means the same.</summary>
    public static TextPattern Expression(string expression, TimeSpan? patience = null)
    {
        string? trouble = Difference(expression);
        try
        {
            if (trouble is null)
            {
                var options = RegexOptions.Compiled | RegexOptions.CultureInvariant | RegexOptions.Multiline;
                return new(new Regex(expression, options, patience ?? usualPatience));
            }
        }
        catch (ArgumentException e)
        {
            trouble = e.Message;
        }
        throw new InvalidDataException($"the pattern {Vocabulary.Quote(expression)} cannot be used: {trouble}");
    }

    /// <summary>The text in pieces, those that match and those between, in order.</summary>
    public List<(Range Range, bool Matches)> Cut(string text)
    {
        var pieces = new List<(Range, bool)>();
        int end = 0;
        foreach (var (start, length) in Matches(text))
        {
            if (start > end) pieces.Add((end..start, false));
            if (length > 0) pieces.Add((start..(start + length), true));
            end = start + length;
        }
        if (end < text.Length) pieces.Add((end..text.Length, false));
        return pieces;
    }

    /// <summary>The text with each match replaced.</summary>
    public string Replace(string text, string replacement)
    {
        if (regex is null) return text.Replace(literal, replacement, StringComparison.Ordinal);
        var replaced = new StringBuilder(text.Length);
        foreach (var (range, matches) in Cut(text)) replaced.Append(matches ? replacement : text.AsSpan(range));
        return replaced.ToString();
    }

    private List<(int Start, int Length)> Matches(string text)
    {
        var found = new List<(int, int)>();
        if (regex is null)
        {
            int start = 0;
            while ((start = text.IndexOf(literal, start, StringComparison.Ordinal)) >= 0)
            {
                found.Add((start, literal.Length));
                start += literal.Length;
            }
            return found;
        }

        string seen = text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF') ? Disguise(text) : text;
        int counted = 0, passed = 0;   // characters seen so far, and how many of them are two in the real text
        try
        {
            foreach (var match in regex.EnumerateMatches(seen))
            {
                int start = Real(match.Index);
                found.Add((start, Real(match.Index + match.Length) - start));
            }
        }
        catch (RegexMatchTimeoutException)
        {
            throw new InvalidDataException(
                $"the tokenizer's pattern {Vocabulary.Quote(regex.ToString())} took over {regex.MatchTimeout.TotalSeconds} s " +
                $"on {text.Length} characters.");
        }
        return found;

        int Real(int index)
        {
            if (ReferenceEquals(seen, text)) return index;
            for (; counted < index; counted++)
                if (char.IsHighSurrogate(text[counted + passed])) passed++;
            return index + passed;
        }
    }

    private static string Disguise(string text)
    {
        var seen = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes())
            seen.Append(rune.IsBmp ? (char)rune.Value : guises[(int)Rune.GetUnicodeCategory(rune)]);
        return seen.ToString();
    }

    /// <summary>For each category a character of the far end of the plane, which no pattern names by itself.</summary>
    private static char[] Guises()
    {
        char[] guises = new char[(int)UnicodeCategory.OtherNotAssigned + 1];
        for (int code = char.MaxValue; code >= 0xA000; code--) guises[(int)char.GetUnicodeCategory((char)code)] = (char)code;
        return guises;
    }

    /// <summary>What in an expression would mean something else here, or null.</summary>
    private static string? Difference(string expression)
    {
        bool inClass = false;
        for (int i = 0; i < expression.Length; i++)
        {
            char c = expression[i];
            if (char.IsSurrogate(c)) return "it names a character beyond U+FFFF; classes such as \\p{L} are supported.";
            if (c == '\\' && ++i < expression.Length)
            {
                char escaped = expression[i];
                if (char.IsAsciiLetterOrDigit(escaped) && !CommonEscapes.Contains(escaped))
                    return $"\\{escaped} is not supported; of letters only those in \"{CommonEscapes}\" are.";
            }
            else if (inClass && (c == '[' || expression.AsSpan(i).StartsWith("&&")))
            {
                return "sets within a set of characters are not supported; write them as one.";
            }
            else if (c is '[' or ']')
            {
                inClass = c == '[';
            }
        }
        return null;
    }
}
