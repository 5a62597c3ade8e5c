using ReadTwice.Tokenizers;

namespace ReadTwice.Tests;

public class TextPatternTests
{
    [Theory]
    [InlineData(@"\p{L}", "a😀𝔘中", "a 𝔘 中")]
    [InlineData(@"\p{N}", "𝟘1Ⅷ", "𝟘 1 Ⅷ")]
    [InlineData(@"[^\p{L}\p{N}]", "a😀1!", "😀 !")]
    [InlineData(@".", "😀a", "😀 a")]
    [InlineData(@"\p{Lu}|\p{M}", "𝐀𝐚\U00011001", "𝐀 \U00011001")]
    [InlineData(@"[一-龥]+", "中文𠀀", "中文")]
    public void A_character_beyond_the_basic_plane_matches_as_one(string expression, string text, string matches) =>
        Assert.Equal(matches, Matches(TextPattern.Expression(expression), text));

    [Fact]
    public void A_plain_string_is_no_expression()
    {
        Assert.Equal(". .", Matches(TextPattern.Literal("."), "a.b."));
        Assert.Equal("😀", Matches(TextPattern.Literal("😀"), "a😀b"));
        Assert.Equal("a-b-", TextPattern.Literal(".").Replace("a.b.", "-"));
        Assert.Equal("😀--!", TextPattern.Expression(@"\p{L}").Replace("😀𝔘b!", "-"));
    }

    [Theory]
    [InlineData(@"\p{Han}+")]
    [InlineData(@"a++")]
    [InlineData(@"[a-z&&[^b]]")]
    [InlineData(@"[[:alpha:]]")]
    [InlineData(@"\w+")]
    [InlineData(@"\h")]
    [InlineData(@"[😀]")]
    [InlineData(@"\x{41}")]
    [InlineData(@"(")]
    public void An_expression_that_would_mean_something_else_is_refused(string expression)
    {
        string message = Assert.Throws<InvalidDataException>(() => TextPattern.Expression(expression)).Message;
        Assert.Contains("cannot be used", message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }

    [Fact]
    public void An_expression_that_backtracks_without_end_is_given_up()
    {
        var pattern = TextPattern.Expression("(a+a+)+$", TimeSpan.FromMilliseconds(50));
        string message = Assert.Throws<InvalidDataException>(() => pattern.Cut(new string('a', 5000) + "b")).Message;
        Assert.Contains("(a+a+)+$", message, StringComparison.Ordinal);
        Assert.Contains("5001 characters", message, StringComparison.Ordinal);
    }

    private static string Matches(TextPattern pattern, string text) =>
        string.Join(' ', pattern.Cut(text).Where(piece => piece.Matches).Select(piece => text[piece.Range]));
}
