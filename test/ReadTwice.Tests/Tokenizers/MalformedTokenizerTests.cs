using System.Text;
using CsCheck;

namespace ReadTwice.Tests;

public class MalformedTokenizerTests
{
    [Theory]
    [InlineData("", "")]
    [InlineData("[1]", "model")]
    [InlineData("{\"model\": 3}", "\"model\" is a number; an object is needed")]
    [InlineData("{}", "\"model\" is missing")]
    [InlineData("""{"model": {"type": "Unigram"}}""", "the model is \"Unigram\"; BPE is needed")]
    [InlineData("""{"model": {"type": "BPE"}}""", "\"vocab\" is missing")]
    [InlineData("""{"model": {"type": "BPE", "vocab": []}}""", "\"vocab\" is an array; an object is needed")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": "0"}}}""", "a token id is needed")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 1.5}}}""", "a token id is needed")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": -1}}}""", "ids go from 0")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 2000000000}}}""", "ids go from 0")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 1, "b": 1}}}""", "\"a\" and \"b\" both have id 1")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 1, "a": 2}}}""", "\"a\" has ids 1 and 2")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}}}""", "\"merges\" is missing")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]}}""", "merge 0 is \"a\"")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "a", "a"]]}}""", "merge 0 is \"a a a\"")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}""", "needs token \"b\"")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "a"]]}}""", "needs token \"aa\"")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [3]}}""", "")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "u"}}""", "\"unk_token\" \"u\"")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "byte_fallback": true}}""", "<0x00> is not in the vocabulary")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "end_of_word_suffix": "</w>"}}""", "end_of_word_suffix")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "normalizer": {"type": "NFKC"}}""", "normalizer \"NFKC\"")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "decoder": {"type": "WordPiece"}}""", "decoder \"WordPiece\"")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "decoder": {"type": "Strip", "content": "x", "start": 1, "stop": 0}}""", "Strip")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "added_tokens": [{"id": 0, "content": "b"}]}""", "both have id 0")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"\ud800": 0}, "merges": []}}""", "")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "added_tokens": [{"id": 1, "content": "b", "lstrip": 1}]}""", "lstrip")]
    public void A_wrong_tokenizer_json_is_named_with_what_is_wrong(string json, string message) =>
        AssertRefused("tokenizer.json", json, message);

    [Theory]
    [InlineData("[]", "#version: 0.2\n", "vocab.json", "an object of tokens and ids is needed")]
    [InlineData("{\"a\": 0}", "#version: 0.2\na b\n", "merges.txt", "needs token \"b\"")]
    [InlineData("{\"a\": 0}", "#version: 0.2\nab\n", "merges.txt", "merge 0 is \"ab\"")]
    [InlineData("{\"a\": 0, \"b\": 0}", "", "vocab.json", "both have id 0")]
    public void Wrong_files_of_gpt2_are_named_with_what_is_wrong(string vocabulary, string merges, string file, string message)
    {
        using var folder = new TokenizerFolder();
        folder.Write("vocab.json", vocabulary);
        folder.Write("merges.txt", merges);
        var error = Assert.Throws<InvalidDataException>(() => HfTokenizer.FromFolder(folder.Path));
        Assert.StartsWith(Path.Combine(folder.Path, file), error.Message, StringComparison.Ordinal);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "no pieces were found")]
    [InlineData("0A", "byte 1 of 1 needs 1 bytes")]
    [InlineData("0AFFFFFFFF0F", "needs 4294967295 bytes")]
    [InlineData("0AFFFFFFFFFFFFFFFFFFFFFF", "longer than 64 bits")]
    [InlineData("0F", "of unknown kind 7")]
    [InlineData("0A00", "piece 0 has no text")]
    [InlineData("0A030A01FF", "no UTF-8 text")]
    [InlineData("0801", "bytes (kind 2) is needed")]
    [InlineData("0A050A01611809", "is of type 9")]
    [InlineData("0A080A0161150000C07F", "has score NaN")]
    [InlineData("0A030A01610A030A0161", "\"a\" has ids 0 and 1")]
    [InlineData("0A050A01611806", "it must be written as <0x00>")]
    [InlineData("0A030A01611202 1803", "of type 3; unigram")]
    [InlineData("0A030A016112021802 1A03120100", "the map of characters")]
    [InlineData("0A030A01611203C00101", "treats whitespace as a suffix")]
    [InlineData("0A030A01611203980201", "falls back to bytes and has no piece <0x00>")]
    public void A_wrong_sentencepiece_model_is_named_with_what_is_wrong(string bytes, string message) =>
        AssertRefused("tokenizer.model", Convert.FromHexString(bytes.Replace(" ", "", StringComparison.Ordinal)), message);

    [Fact]
    public void A_wrong_rwkv_vocabulary_is_named() =>
        AssertRefused("rwkv_vocab_v1.txt", "1 'a' 2\n", "line 1 holds 1 bytes and says 2");

    [Fact]
    public void A_file_of_another_kind_is_refused_by_its_name() =>
        AssertRefused("tokenizer.bin", "", "is no tokenizer by its name", open: "tokenizer.bin");

    [Theory]
    [InlineData("tokenizer.json")]
    [InlineData("tokenizer.model")]
    [InlineData("rwkv_vocab_v1.txt")]
    public void A_damaged_file_is_refused_or_read_but_never_crashes(string name)
    {
        byte[] whole = name switch
        {
            "tokenizer.json" => Encoding.UTF8.GetBytes(SmallTokenizers.ByteLevelJson(
                addedTokens: """[{"id": 400, "content": "<m>", "lstrip": true}]""")),
            "tokenizer.model" => SmallTokenizers.SentencePieceModel(["▁", "▁a", "a", "b"], userDefined: ["ab"]),
            _ => SmallTokenizers.RwkvLines("300 'ab' 2", "301 '\\u4e2d' 3"),
        };
        using var folder = new TokenizerFolder();
        var changed = Gen.Select(Gen.Int[0, whole.Length - 1], Gen.Byte).Array[1, 4];
        changed.Select(Gen.Int[0, 3 * whole.Length]).Sample((changes, length) =>
        {
            byte[] damaged = whole[..Math.Min(length, whole.Length)];
            foreach (var (place, value) in changes)
                if (place < damaged.Length) damaged[place] = value;
            string path = folder.Write(name, damaged);
            try
            {
                var tokenizer = HfTokenizer.FromFolder(path);
                tokenizer.Decode(tokenizer.Encode("a ab <m> 中\u0301 the hello world"));
            }
            catch (InvalidDataException e)
            {
                Assert.StartsWith(path, e.Message, StringComparison.Ordinal);
                Assert.DoesNotContain('\n', e.Message);
            }
        }, iter: 500, threads: 1);
    }

    private static void AssertRefused(string name, string content, string message, string? open = null) =>
        AssertRefused(name, Encoding.UTF8.GetBytes(content), message, open);

    private static void AssertRefused(string name, byte[] content, string message, string? open = null)
    {
        using var folder = new TokenizerFolder();
        string path = folder.Write(name, content);
        var error = Assert.Throws<InvalidDataException>(() => HfTokenizer.FromFolder(open is null ? folder.Path : path));
        Assert.StartsWith(path, error.Message, StringComparison.Ordinal);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }
}
