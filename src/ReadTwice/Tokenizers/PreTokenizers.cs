using System.Text.Json;

namespace ReadTwice.Tokenizers;

/// <summary>Cuts a text into the pieces no token reaches beyond; first says whether it begins the whole text.</summary>
internal delegate IReadOnlyList<string> PreTokenizer(string text, bool first);

/// <summary>The "pre_tokenizer" of a tokenizer.json.</summary>
internal static class PreTokenizers
{
    private static readonly TextPattern gpt2Words = new(ByteLevel.Words());

    /// <summary>No cuts.</summary>
    public static IReadOnlyList<string> Whole(string text, bool first) => [text];

    /// <summary>GPT-2's words, spelled as bytes.</summary>
    public static IReadOnlyList<string> Gpt2(string text, bool first)
    {
        var pieces = gpt2Words.Cut(text);
        string[] spelled = new string[pieces.Count];
        for (int i = 0; i < spelled.Length; i++) spelled[i] = ByteLevel.Spell(text.AsSpan(pieces[i].Range));
        return spelled;
    }

    public static PreTokenizer Read(JsonElement? element) => element is null ? Whole : Read(element.Value);

    private static PreTokenizer Read(JsonElement element)
    {
        switch (element.Type())
        {
            case "ByteLevel":
                bool spaced = element.Flag("add_prefix_space", true), words = element.Flag("use_regex", true);
                return (text, first) =>
                {
                    if (spaced && !text.StartsWith(' ')) text = " " + text;
                    return words ? Gpt2(text, first) : [ByteLevel.Spell(text)];
                };
            case "Split":
                return Split(Normalizers.Pattern(element), element.NeedText("behavior"), element.Flag("invert", false));
            case "Digits":
                bool single = element.Flag("individual_digits", false);
                return Split(TextPattern.Expression(@"\p{N}"), single ? "Isolated" : "Contiguous", invert: false);
            case "Punctuation":
                string behavior = element.Find("behavior") is null ? "Isolated" : element.NeedText("behavior");
                return Split(TextPattern.Expression(@"[!-/:-@\[-`{-~\p{P}]"), behavior, invert: false);
            case "Metaspace":
                return Metaspace(element);
            case "Sequence":
                return Sequence([.. element.Need("pretokenizers", JsonValueKind.Array).EnumerateArray().Select(Read)]);
            default:
                throw new InvalidDataException($"pre_tokenizer {Vocabulary.Quote(element.Type())} is not supported; " +
                    "ByteLevel, Split, Digits, Punctuation, Metaspace and Sequence are.");
        }
    }

    private static PreTokenizer Sequence(PreTokenizer[] steps) => (text, first) =>
    {
        List<string> pieces = [text];
        foreach (var step in steps)
        {
            var cut = new List<string>(pieces.Count);
            for (int i = 0; i < pieces.Count; i++) cut.AddRange(step(pieces[i], first && i == 0));
            pieces = cut;
        }
        return pieces;
    };

    private static PreTokenizer Split(TextPattern pattern, string behavior, bool invert)
    {
        if (behavior is not ("Isolated" or "Removed" or "Contiguous" or "MergedWithPrevious" or "MergedWithNext"))
            throw new InvalidDataException($"\"behavior\" {Vocabulary.Quote(behavior)} is not known; " +
                "Isolated, Removed, Contiguous, MergedWithPrevious and MergedWithNext are.");
        return (text, _) =>
        {
            var pieces = new List<string>();
            int start = 0;
            var cuts = pattern.Cut(text);
            for (int i = 0; i < cuts.Count; i++)
            {
                bool matches = cuts[i].Matches != invert;
                bool? next = i + 1 < cuts.Count ? cuts[i + 1].Matches != invert : null;
                if (behavior == "Removed" && matches)
                {
                    start = cuts[i].Range.End.Value;
                    continue;
                }
                bool joins = behavior switch
                {
                    "Contiguous" => matches == next,
                    "MergedWithPrevious" => !matches && next == true,
                    "MergedWithNext" => matches && next == false,
                    _ => false,
                };
                if (joins) continue;
                pieces.Add(text[start..cuts[i].Range.End.Value]);
                start = cuts[i].Range.End.Value;
            }
            return pieces;
        };
    }

    private static PreTokenizer Metaspace(JsonElement element)
    {
        string space = element.NeedText("replacement");
        string scheme = element.Find("prepend_scheme") is not null ? element.NeedText("prepend_scheme")
            : element.Flag("add_prefix_space", true) ? "always" : "never";
        if (scheme is not ("always" or "first" or "never"))
            throw new InvalidDataException(
                $"\"prepend_scheme\" {Vocabulary.Quote(scheme)} is not known; always, first and never are.");
        var split = element.Flag("split", true) ? Split(TextPattern.Literal(space), "MergedWithNext", invert: false) : Whole;
        return (text, first) =>
        {
            text = text.Replace(" ", space, StringComparison.Ordinal);
            bool prepends = scheme == "always" || (scheme == "first" && first);
            if (prepends && !text.StartsWith(space, StringComparison.Ordinal)) text = space + text;
            return split(text, first);
        };
    }
}
