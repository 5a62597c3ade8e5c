using System.Text;
using ReadTwice.Tokenizers;

namespace ReadTwice.Tests;

public class RwkvWorldTests
{
    [Fact]
    public void The_longest_token_is_taken()
    {
        var tokenizer = Open("300 'ab' 2", "301 'abcd' 4", "302 b'\\xe4\\xb8' 2", "303 ' \"\\'' 3");
        Assert.Equal([301, 300, 'c' + 1], tokenizer.Encode("abcdabc"));
        Assert.Equal([302, 0xAD + 1], tokenizer.Encode("中"));
        Assert.Equal([303], tokenizer.Encode(" \"'"));
    }

    [Fact]
    public void Its_free_id_zero_ends_a_text()
    {
        var tokenizer = Open();
        Assert.Equal(0, tokenizer.EndOfText);
        Assert.Equal("", tokenizer.Decode([0]));
        Assert.DoesNotContain(0, tokenizer.Encode("\0"));
    }

    [Theory]
    [InlineData("300 'ab' 3", "line 257 holds 2 bytes and says 3")]
    [InlineData("300 '' 0", "holds 0 bytes")]
    [InlineData("300 'ab'", "an id, a Python literal and a length")]
    [InlineData("300", "an id, a Python literal and a length")]
    [InlineData("x 'ab' 2", "an id, a Python literal and a length")]
    [InlineData("-1 'ab' 2", "ids go from 0")]
    [InlineData("2000000000 'ab' 2", "ids go from 0")]
    [InlineData("5 'ab' 2", "both have id 5")]
    [InlineData("300 'a' 1", "it needs one")]
    [InlineData("300 ab 2", "no Python literal")]
    public void A_wrong_line_is_named(string line, string message) =>
        Assert.Contains(message, Assert.Throws<InvalidDataException>(() => Open(line)).Message, StringComparison.Ordinal);

    [Fact]
    public void All_bytes_are_needed()
    {
        byte[] lacking = SmallTokenizers.RwkvLines()[..^"256 b'\\xff' 1\n".Length];
        var error = Assert.Throws<InvalidDataException>(() => new RwkvWorld(lacking, ""));
        Assert.Contains("the byte 0xFF alone", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("'ab'", "6162")]
    [InlineData("\"it's\"", "69742773")]
    [InlineData(@"'\'\""\\'", "27225C")]
    [InlineData(@"'\n\r\t\a\b\f\v\0'", "0A0D0907080C0B00")]
    [InlineData(@"'\xe9\u4e2d\U0001f600'", "C3A9E4B8ADF09F9880")]
    [InlineData("'é😀'", "C3A9F09F9880")]
    [InlineData(@"b'\xe9a'", "E961")]
    [InlineData("b''", "")]
    public void A_literal_is_read_as_in_python(string literal, string bytes) =>
        Assert.Equal(bytes, Convert.ToHexString(PythonLiteral.Parse(literal)));

    [Theory]
    [InlineData("")]
    [InlineData("'")]
    [InlineData("'a\"")]
    [InlineData("ab")]
    [InlineData("b")]
    [InlineData(@"'a\'")]
    [InlineData("'a'b'")]
    [InlineData(@"'\q'")]
    [InlineData(@"'\x4'")]
    [InlineData(@"'\xg1'")]
    [InlineData(@"'\ud800'")]
    [InlineData(@"'\U7fffffff'")]
    [InlineData(@"'\Uffffffff'")]
    [InlineData("b'é中'")]
    public void What_is_no_literal_is_refused(string literal)
    {
        var error = Assert.Throws<InvalidDataException>(() => PythonLiteral.Parse(literal));
        Assert.Contains("no Python literal", error.Message, StringComparison.Ordinal);
    }

    private static RwkvWorld Open(params string[] lines) => new RwkvWorld(SmallTokenizers.RwkvLines(lines), "");
}
