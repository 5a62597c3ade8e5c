using System.Text;
using System.Text.RegularExpressions;

namespace ReadTwice.Documents;

/// <summary>In which encoding a web page is written: its byte order mark, else what it says of itself, else UTF-8, else Windows' western one.</summary>
internal static partial class HtmlEncoding
{
    // Where a page names its encoding at all, it does so early.
    private const int Head = 4096;

    /// <summary>The page as text; bytes that are wrong in the encoding it names become U+FFFD, as in a browser.</summary>
    /// <exception cref="InvalidDataException">The bytes hold a zero, which no page does.</exception>
    public static string Decode(ReadOnlySpan<byte> bytes, string name)
    {
        if (PlainText.Marked(bytes, name) is { } text) return text;
        PlainText.RequireNoZero(bytes, name);
        var named = Declared().Match(Encoding.Latin1.GetString(bytes[..Math.Min(bytes.Length, Head)]));
        var encoding = named.Success ? Find(named.Groups[1].Value) : null;
        encoding ??= System.Text.Unicode.Utf8.IsValid(bytes) ? Encoding.UTF8 : Western();
        return encoding.GetString(bytes);
    }

    private static Encoding? Find(string charset) => charset.ToLowerInvariant() switch
    {
        // A page that can be read so far is not in UTF-16, whatever it says.
        "utf-8" or "utf8" or "utf-16" or "utf-16le" or "utf-16be" or "unicode" => Encoding.UTF8,
        // The web means Windows' superset by these.
        "iso-8859-1" or "iso8859-1" or "latin1" or "latin-1" or "us-ascii" or "ascii" => Western(),
        "gbk" or "x-gbk" => Find("gb18030"),
        "x-sjis" => Find("shift_jis"),
        var other => CodePagesEncodingProvider.Instance.GetEncoding(other),
    };

    private static Encoding Western() => CodePagesEncodingProvider.Instance.GetEncoding(1252)!;

    [GeneratedRegex("""<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", RegexOptions.IgnoreCase)]
    private static partial Regex Declared();
}
