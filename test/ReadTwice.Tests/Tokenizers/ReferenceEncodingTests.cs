using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace ReadTwice.Tests;

/// <summary>Encodings made by the tokenizers' own programs, against ours.</summary>
public class ReferenceEncodingTests
{
    public static TheoryData<string> Published => ["gpt2", "neox", "mistral-v1", "rwkv-world"];

    public static TheoryData<string, string> Corpora
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (string corpus in (string[])["wikitext-2/valid.txt", "corpora/tinyshakespeare.txt"])
                foreach (string name in (string[])["gpt2", "neox", "mistral-v1", "rwkv-world"]) data.Add(name, corpus);
            return data;
        }
    }

    [Theory, MemberData(nameof(Published))]
    public void Every_text_has_the_ids_of_the_reference(string name)
    {
        var tokenizer = Open(name);
        foreach (var pair in Pairs(name)) Assert.Equal(pair.Ids, tokenizer.Encode(pair.Text));
    }

    [Theory, MemberData(nameof(Published))]
    public void Ids_decode_to_the_text_of_the_reference(string name)
    {
        var tokenizer = Open(name);
        foreach (var pair in Pairs(name)) Assert.Equal(Decoded(name, pair), tokenizer.Decode(pair.Ids));
    }

    [Theory, MemberData(nameof(Published))]
    public void Streamed_tokens_give_the_same_text(string name)
    {
        var tokenizer = Open(name);
        foreach (var pair in Pairs(name))
        {
            var decoder = tokenizer.NewStreamingDecoder();
            string text = string.Concat(pair.Ids.Select(decoder.Add)) + decoder.Finish();
            Assert.Equal(Decoded(name, pair), text);
        }
    }

    [Theory, MemberData(nameof(Corpora))]
    public void A_corpus_has_the_ids_of_the_reference(string name, string corpus)
    {
        var tokenizer = Open(name);
        using var checks = JsonDocument.Parse(File.ReadAllBytes(Shared.Path("data", "tokenizers", "corpus-checks.json")));
        var expected = checks.RootElement.EnumerateArray().Single(check => check.GetProperty("file").GetString() == corpus)
            .GetProperty("encodings").GetProperty(name);
        var ids = tokenizer.Encode(File.ReadAllText(Shared.Path("data", corpus)));
        Assert.Equal(expected.GetProperty("first20").EnumerateArray().Select(id => id.GetInt32()), ids.Take(20));
        Assert.Equal(expected.GetProperty("last20").EnumerateArray().Select(id => id.GetInt32()), ids.TakeLast(20));
        Assert.Equal(expected.GetProperty("count").GetInt32(), ids.Count);

        byte[] bytes = new byte[4 * ids.Count];
        for (int i = 0; i < ids.Count; i++) BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(4 * i), ids[i]);
        Assert.Equal(expected.GetProperty("sha256_int32le").GetString(), Convert.ToHexStringLower(SHA256.HashData(bytes)));
    }

    [Theory]
    [InlineData("gpt2", 50257, 50256)]
    [InlineData("neox", 50277, 0)]
    [InlineData("mistral-v1", 32000, 2)]
    [InlineData("rwkv-world", 65530, 0)]
    public void Its_size_and_its_end_of_text_are_known(string name, int size, int endOfText)
    {
        var tokenizer = Open(name);
        Assert.Equal(size, tokenizer.VocabularySize);
        Assert.Equal(endOfText, tokenizer.EndOfText);
    }

    [Fact]
    public void Gpt2_as_a_tokenizer_json_gives_the_same_ids()
    {
        using var folder = new TokenizerFolder();
        string vocabulary = File.ReadAllText(Shared.Path("data", "tokenizers", "gpt2", "encoder.json"));
        string[] merges = File.ReadAllLines(Shared.Path("data", "tokenizers", "gpt2", "vocab.bpe"));
        folder.Write("tokenizer.json", $$$"""
            {"model": {"type": "BPE", "vocab": {{{vocabulary}}}, "merges": {{{JsonSerializer.Serialize(merges[1..])}}}},
             "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "decoder": {"type": "ByteLevel"}}
            """);
        AssertPairs(HfTokenizer.FromFolder(folder.Path), "gpt2");
    }

    [Fact]
    public void Mistral_as_a_tokenizer_json_gives_the_same_ids()
    {
        using var folder = new TokenizerFolder();
        folder.Write("tokenizer.json", MistralAsJson());
        AssertPairs(HfTokenizer.FromFolder(folder.Path), "mistral-v1");
    }

    /// <summary>Pieces, and merges in the order that the published conversion of such models writes them.</summary>
    private static string MistralAsJson()
    {
        var pieces = new ReadTwice.Tokenizers.SentencePieceFile(
            File.ReadAllBytes(Shared.Path("data", "tokenizers", "mistral-v1", "tokenizer.model"))).Pieces;
        var ids = pieces.Index().ToDictionary(piece => piece.Item.Text, piece => piece.Index);
        var merges = from piece in pieces
                     from cut in Enumerable.Range(1, piece.Text.Length - 1)
                     let left = piece.Text[..cut]
                     let right = piece.Text[cut..]
                     where ids.ContainsKey(left) && ids.ContainsKey(right)
                     orderby piece.Score descending, left.Length descending, right.Length descending
                     select (string[])[left, right];
        return $$$"""
            {"added_tokens": [{"id": 1, "content": "<s>", "special": true}, {"id": 2, "content": "</s>", "special": true}],
             "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
               {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
             "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
               {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
             "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
               "vocab": {{{JsonSerializer.Serialize(ids)}}}, "merges": {{{JsonSerializer.Serialize(merges)}}}}}
            """;
    }

    private static void AssertPairs(Tokenizer tokenizer, string name)
    {
        foreach (var pair in Pairs(name))
        {
            Assert.Equal(pair.Ids, tokenizer.Encode(pair.Text));
            Assert.Equal(Decoded(name, pair), tokenizer.Decode(pair.Ids));
        }
    }

    internal static Tokenizer Open(string name) => HfTokenizer.FromFolder(Shared.Path("data", "tokenizers", name));

    // The reference of NeoX encodes the composed form of a text: that is what comes back.
    private static string Decoded(string name, Pair pair) =>
        name == "neox" ? ReadTwice.Tokenizers.CanonicalForm.Compose(pair.Text) : pair.Decoded ?? pair.Text;

    internal static IEnumerable<Pair> Pairs(string name) =>
        from line in File.ReadAllText(Shared.Path("data", "tokenizers", name, "pairs.jsonl")).Split('\n')
        where line.Length > 0
        select JsonSerializer.Deserialize<Pair>(line, JsonSerializerOptions.Web);

    internal sealed record Pair(string Text, int[] Ids, string? Decoded);
}
