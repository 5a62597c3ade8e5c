namespace ReadTwice.Checkpoints;

/// <summary>Text from a file that is not trusted, made fit for a message: one line, no control characters, not too long.</summary>
internal static class OneLine
{
    private const int Longest = 120;

    public static string Of(string text)
    {
        string shown = text.Length > Longest ? text[..Longest] + "..." : text;
        return string.Concat(shown.Select(c => char.IsControl(c) || c is '\u2028' or '\u2029' ? ' ' : c));
    }
}
