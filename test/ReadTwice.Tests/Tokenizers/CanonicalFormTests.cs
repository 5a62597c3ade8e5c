using System.Security.Cryptography;
using System.Text;
using CsCheck;
using ReadTwice.Tokenizers;

namespace ReadTwice.Tests;

public class CanonicalFormTests
{
    // SHA-256 of the forms, in UTF-8, of every character from U+0000 to U+10FFFF by itself; Node.js 20, Unicode 17.
    private const string ComposedHash = "1ffc8e6ce9e83df8e49fd62d6abb68f981775aed0b5101b88c213d4653e9b540";
    private const string DecomposedHash = "748dfdf57463b0cecddd4057d5574477a9527fc01d177b2e93c1781a111397e8";

    [Fact]
    public void Every_character_has_the_forms_of_the_standard()
    {
        Assert.Equal(ComposedHash, Hash(CanonicalForm.Compose));
        Assert.Equal(DecomposedHash, Hash(CanonicalForm.Decompose));
    }

    [Theory]
    [InlineData("e\u0301", "é")]
    [InlineData("\u212B", "Å")]
    [InlineData("q\u0307\u0323", "q\u0323\u0307")]
    [InlineData("d\u0307\u0323", "ḍ\u0307")]
    [InlineData("o\u0328\u0304", "ǭ")]
    [InlineData("a\u0315\u0300", "à\u0315")]
    [InlineData("a\u0310\u0301", "a\u0310\u0301")]
    [InlineData("\u1100\u1161\u11A8", "각")]
    [InlineData("가\u11A8", "각")]
    [InlineData("각\u11A8", "각\u11A8")]
    [InlineData("\u0958", "\u0915\u093C")]
    [InlineData("\u0301e", "\u0301e")]
    [InlineData("a\u05B0\u0300", "à\u05B0")]
    [InlineData("\U0001D157\U0001D165", "\U0001D157\U0001D165")]
    [InlineData("\U00011099\U000110BA", "\U0001109A")]
    [InlineData("ﬁ", "ﬁ")]
    public void A_text_is_composed(string text, string composed) => Assert.Equal(composed, CanonicalForm.Compose(text));

    [Fact]
    public void The_forms_of_a_text_lead_to_each_other() =>
        Gen.OneOf(
            Gen.Char['\u00C0', '\u0345'], Gen.Char['\u1100', '\u11FF'], Gen.Char['가', '힣'], Gen.Char["ae \u05B0\u093C\u0915"])
            .Array[0, 12].Select(characters => new string(characters)).Sample(text =>
        {
            string composed = CanonicalForm.Compose(text), decomposed = CanonicalForm.Decompose(text);
            Assert.Equal(composed, CanonicalForm.Compose(composed));
            Assert.Equal(composed, CanonicalForm.Compose(decomposed));
            Assert.Equal(decomposed, CanonicalForm.Decompose(composed));
        }, iter: 5000);

    [Fact]
    public void A_million_marks_in_the_wrong_order_are_ordered()
    {
        string marks = string.Concat(Enumerable.Repeat("\u0301\u0323", 500_000));
        string ordered = new string('\u0323', 500_000) + new string('\u0301', 500_000);
        Assert.True(CanonicalForm.Compose("-" + marks) == "-" + ordered);
    }

    private static string Hash(Func<string, string> form)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        for (int code = 0; code <= 0x10FFFF; code++)
            if (Rune.IsValid(code)) hash.AppendData(Encoding.UTF8.GetBytes(form(new Rune(code).ToString())));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
