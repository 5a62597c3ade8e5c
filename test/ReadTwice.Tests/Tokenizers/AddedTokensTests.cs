using CsCheck;

namespace ReadTwice.Tests;

public class AddedTokensTests
{
    [Fact]
    public void The_longest_is_found_first_from_the_left() =>
        Assert.Equal([402, 401, 'a', 401], Open(Token(400, "  "), Token(401, "   "), Token(402, "    ")).Encode("       a   "));

    [Fact]
    public void They_are_found_before_words_are_cut() =>
        Assert.Equal(['x', 400, 'y', 400], Open(Token(400, "<|im end|>")).Encode("x<|im end|>y<|im end|>"));

    [Fact]
    public void One_may_take_the_spaces_beside_it()
    {
        Assert.Equal(['x', 400, ' ', 'y'], Open(Token(400, "<m>", "\"lstrip\": true")).Encode("x \n <m> y"));
        Assert.Equal(['x', ' ', 400, 'y'], Open(Token(400, "<m>", "\"rstrip\": true")).Encode("x <m> \n y"));
        Assert.Equal([400, 400, 400], Open(Token(400, "<m>", "\"lstrip\": true, \"rstrip\": true")).Encode(" <m> <m>  <m> "));
        Assert.Equal(['x', 401, 400], Open(Token(400, "<m>", "\"lstrip\": true"), Token(401, "  ")).Encode("x  <m>"));
    }

    [Theory]
    [InlineData("mat", true)]
    [InlineData("a mat!", true)]
    [InlineData("mate", false)]
    [InlineData("tomat", false)]
    [InlineData("mat_", false)]
    [InlineData("mat𝔘", false)]
    [InlineData("é-mat-é", true)]
    public void One_that_is_a_word_is_found_only_as_one(string text, bool found) =>
        Assert.Equal(found, Open(Token(400, "mat", "\"single_word\": true")).Encode(text).Contains(400));

    [Fact]
    public void One_is_found_in_normalized_text_only_if_it_is_to_be()
    {
        Assert.Equal([400, 400], Open(Token(400, "é!", "\"normalized\": true")).Encode("e\u0301!é!"));
        Assert.Equal([400], Open(Token(400, "é!", "\"normalized\": false")).Encode("é!"));
        Assert.DoesNotContain(400, Open(Token(400, "é!", "\"normalized\": false")).Encode("e\u0301!"));
        Assert.DoesNotContain(400, Open(Token(400, "é!", "\"special\": true")).Encode("e\u0301!"));
        Assert.Equal([400], Open(Token(400, "é!", "\"special\": false")).Encode("e\u0301!"));
    }

    [Fact]
    public void One_that_the_model_has_keeps_its_id_there() =>
        Assert.Equal([256 + 9], Open(Token(400, "hello")).Encode("hello"));

    [Fact]
    public void They_decode_to_their_text()
    {
        var tokenizer = Open(Token(400, "Ġé"));
        Assert.Equal("Ġé", tokenizer.Decode([400]));
        Gen.String["Ġé 中a"].Sample(text => Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text))));
    }

    [Fact]
    public void An_empty_one_is_never_found() => Assert.Equal(['x'], Open(Token(400, "")).Encode("x"));

    private static string Token(int id, string content, string more = "\"special\": false") =>
        $$"""{"id": {{id}}, "content": "{{content}}", {{more}}}""";

    private static Tokenizer Open(params string[] tokens) => SmallTokenizers.FromJson(SmallTokenizers.ByteLevelJson(
        normalizer: """{"type": "NFC"}""", addedTokens: $"[{string.Join(", ", tokens)}]"));
}
