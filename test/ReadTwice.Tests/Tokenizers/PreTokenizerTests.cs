using System.Text.Json;
using ReadTwice.Tokenizers;

namespace ReadTwice.Tests;

public class PreTokenizerTests
{
    // Of Llama 3, Qwen and StableLM, but for how many digits make a number.
    private const string Words = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" +
        @" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    [Theory]
    [InlineData("it's  fine\n\n ok", "it|'s|Ġ|Ġfine|ĊĊ|Ġok")]
    [InlineData("a1 2", "a|1|Ġ2")]
    [InlineData("x  ", "x|ĠĠ")]
    [InlineData("𝔘𝔫 𝟘𝟙!", "ðĿĶĺðĿĶ«|ĠðĿŁĺðĿŁĻ|!")]
    [InlineData("a\u0301", "a|Ìģ")]
    [InlineData("", "")]
    public void Words_are_those_of_gpt2(string text, string words) =>
        Assert.Equal(words, Cut("""{"type": "ByteLevel", "add_prefix_space": false}""", text));

    [Fact]
    public void A_space_is_put_before_a_text_without_one()
    {
        string spaced = """{"type": "ByteLevel", "add_prefix_space": true}""";
        Assert.Equal("Ġa|Ġb", Cut(spaced, "a b"));
        Assert.Equal("Ġa", Cut(spaced, " a"));
        Assert.Equal("Ġ|Ċ|a", Cut("""{"type": "ByteLevel"}""", "\na"));
    }

    [Fact]
    public void Bytes_are_spelled_without_a_cut_where_words_are_not_wanted() =>
        Assert.Equal("aĠb1", Cut("""{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}""", "a b1"));

    [Theory]
    [InlineData("I'LL be\r\n\r\nthere", "I|'LL| be|\r\n\r\n|there")]
    [InlineData("12345 (x)", "123|45| (|x|)")]
    [InlineData("𝟘𝟙𝟚𝟛", "𝟘𝟙𝟚|𝟛")]
    [InlineData("😀𝔘 ", "😀𝔘| ")]
    [InlineData("a  \n  b", "a|  \n| | b")]
    public void A_split_by_a_pattern_cuts_whole_characters(string text, string pieces) => Assert.Equal(pieces, Cut(
        $$"""{"type": "Split", "pattern": {"Regex": {{JsonSerializer.Serialize(Words)}}}, "behavior": "Isolated"}""", text));

    [Theory]
    [InlineData("Isolated", false, "xx|1|2|y")]
    [InlineData("Removed", false, "xx|y")]
    [InlineData("Removed", true, "1|2")]
    [InlineData("Contiguous", false, "xx|12|y")]
    [InlineData("MergedWithPrevious", false, "xx1|2|y")]
    [InlineData("MergedWithPrevious", true, "xx|1|2y")]
    [InlineData("MergedWithNext", false, "xx|1|2y")]
    [InlineData("MergedWithNext", true, "xx1|2|y")]
    public void What_matches_goes_where_the_behavior_says(string behavior, bool invert, string pieces)
    {
        string inverted = invert ? "true" : "false";
        Assert.Equal(pieces, Cut(
            $$"""{"type": "Split", "pattern": {"Regex": "\\d"}, "behavior": "{{behavior}}", "invert": {{inverted}}}""", "xx12y"));
    }

    [Theory]
    [InlineData(true, "a|1|2|b")]
    [InlineData(false, "a|12|b")]
    public void Digits_are_cut_off_together_or_one_by_one(bool single, string pieces) =>
        Assert.Equal(pieces, Cut($$"""{"type": "Digits", "individual_digits": {{(single ? "true" : "false")}}}""", "a12b"));

    [Fact]
    public void Punctuation_is_cut_off() => Assert.Equal("a|«|$|b", Cut("""{"type": "Punctuation"}""", "a«$b"));

    [Fact]
    public void A_sequence_cuts_what_was_cut_before() => Assert.Equal("a|Ġ|1|2", Cut(
        """
        {"type": "Sequence", "pretokenizers":
          [{"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "add_prefix_space": false}]}
        """, "a 12"));

    [Theory]
    [InlineData("always", true, "a b", "▁a|▁b")]
    [InlineData("always", false, "a b", "▁a|▁b")]
    [InlineData("first", true, "a b", "▁a|▁b")]
    [InlineData("first", false, "a b", "a|▁b")]
    [InlineData("never", true, "a b", "a|▁b")]
    [InlineData("always", true, " a", "▁a")]
    [InlineData("never", true, "a  b", "a|▁|▁b")]
    public void Metaspace_writes_spaces_as_a_sign(string scheme, bool first, string text, string pieces) =>
        Assert.Equal(pieces, Cut($$"""{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "{{scheme}}"}""", text, first));

    [Fact]
    public void Only_the_first_piece_of_a_text_is_at_its_start() => Assert.Equal("▁a|-|b", Cut(
        """
        {"type": "Sequence", "pretokenizers":
          [{"type": "Punctuation"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}]}
        """, "a-b"));

    [Theory]
    [InlineData("""{"type": "Whitespace"}""", "Whitespace")]
    [InlineData("""{"type": "Split", "pattern": {"String": "a"}, "behavior": "Odd"}""", "Odd")]
    [InlineData("""{"type": "Split", "pattern": {"Regex": "(?<!a"}, "behavior": "Isolated"}""", "(?")]
    [InlineData("""{"type": "Split", "pattern": {}, "behavior": "Isolated"}""", "String")]
    [InlineData("""{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "odd"}""", "odd")]
    [InlineData("""{}""", "type")]
    public void What_is_not_supported_is_named(string element, string named) =>
        Assert.Contains(named, Assert.Throws<InvalidDataException>(() => Cut(element, "a")).Message, StringComparison.Ordinal);

    private static string Cut(string element, string text, bool first = true)
    {
        using var document = JsonDocument.Parse(element);
        return string.Join('|', PreTokenizers.Read(document.RootElement)(text, first));
    }
}
