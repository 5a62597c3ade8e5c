using System.Buffers;
using System.Globalization;
using System.Text;

namespace ReadTwice.Tokenizers;

/// <summary>A token that is found in the text as it stands, before anything else is done with it.</summary>
/// <remarks>It may need to stand alone as a word, and may take the spaces on either side with it.</remarks>
internal sealed record AddedToken(string Content, int Id, bool IsWord = false, bool TakesLeft = false, bool TakesRight = false);

/// <summary>Finds added tokens in a text: from the left, the longest first.</summary>
internal sealed class AddedTokens
{
    private readonly List<AddedToken> tokens = [];
    private readonly Trie trie = new();
    private readonly SearchValues<char> beginnings;

    public AddedTokens(IEnumerable<AddedToken> tokens)
    {
        this.tokens.AddRange(tokens.Where(token => token.Content.Length > 0));
        for (int i = 0; i < this.tokens.Count; i++) trie.Add(this.tokens[i].Content, i);
        beginnings = SearchValues.Create([.. this.tokens.Select(token => token.Content[0]).Distinct()]);
    }

    public IReadOnlyList<AddedToken> All => tokens;

    /// <summary>The text between the tokens and the tokens, which alone have an id, in order, with where each begins.</summary>
    public IEnumerable<(string Text, int Start, int? Id)> Split(string text)
    {
        int end = 0;
        foreach (var (range, token) in Find(text))
        {
            if (range.Start.Value > end) yield return (text[end..range.Start], end, null);
            yield return (token.Content, range.Start.Value, token.Id);
            end = range.End.Value;
        }
        if (end < text.Length) yield return (end == 0 ? text : text[end..], end, null);
    }

    private IEnumerable<(Range Range, AddedToken Token)> Find(string text)
    {
        int taken = 0;
        for (int at = 0; at < text.Length;)
        {
            int skipped = text.AsSpan(at).IndexOfAny(beginnings);
            if (skipped < 0) break;
            at += skipped;
            var (length, index) = trie.Longest(text.AsSpan(at));
            if (length == 0)
            {
                at++;
                continue;
            }
            int start = at;
            var token = tokens[index];
            at += length;
            if (token.IsWord && (EndsWord(text.AsSpan(0, start)) || BeginsWord(text.AsSpan(at)))) continue;

            if (token.TakesLeft)
                while (start > taken && char.IsWhiteSpace(text[start - 1])) start--;
            if (token.TakesRight)
                while (at < text.Length && char.IsWhiteSpace(text[at])) at++;
            taken = at;
            yield return (start..at, token);
        }
    }

    private static bool EndsWord(ReadOnlySpan<char> text) =>
        Rune.DecodeLastFromUtf16(text, out var rune, out _) == OperationStatus.Done && IsWord(rune);

    private static bool BeginsWord(ReadOnlySpan<char> text) =>
        Rune.DecodeFromUtf16(text, out var rune, out _) == OperationStatus.Done && IsWord(rune);

    private static bool IsWord(Rune rune) => Rune.IsLetterOrDigit(rune) || Rune.GetUnicodeCategory(rune) is
        UnicodeCategory.ConnectorPunctuation or UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark
        or UnicodeCategory.EnclosingMark or UnicodeCategory.LetterNumber;
}
