using System.Text;

namespace ReadTwice.Tests;

public class HfTokenizerTests
{
    private const string Text = "hello world";

    private static readonly int[] ids = [256 + 9, 256 + 13];

    [Theory]
    [InlineData("tokenizer.json")]
    [InlineData("20B_tokenizer.json")]
    public void A_folder_with_a_tokenizer_json_is_opened(string name)
    {
        using var folder = new TokenizerFolder();
        folder.Write("tokenizer_config.json", "{}");
        string file = folder.Write(name, SmallTokenizers.ByteLevelJson());
        Assert.Equal(ids, HfTokenizer.FromFolder(folder.Path).Encode(Text));
        Assert.Equal(ids, HfTokenizer.FromFolder(file).Encode(Text));
    }

    [Theory]
    [InlineData("vocab.json", "merges.txt")]
    [InlineData("encoder.json", "vocab.bpe")]
    public void A_folder_with_the_files_of_gpt2_is_opened(string vocabulary, string merges)
    {
        using var folder = new TokenizerFolder();
        folder.Write("tokenizer_config.json", "{}");
        string first = folder.Write(vocabulary, SmallTokenizers.VocabularyJson);
        string second = folder.Write(merges, SmallTokenizers.MergesText);
        foreach (string path in (string[])[folder.Path, first, second])
        {
            var tokenizer = HfTokenizer.FromFolder(path);
            Assert.Equal(ids, tokenizer.Encode(Text));
            Assert.Equal(SmallTokenizers.Vocabulary()["<|endoftext|>"], tokenizer.EndOfText);
        }
    }

    [Fact]
    public void Gpt2_finds_special_tokens_in_text_only_where_a_file_adds_them()
    {
        using var folder = new TokenizerFolder();
        folder.Write("vocab.json", SmallTokenizers.VocabularyJson);
        folder.Write("merges.txt", SmallTokenizers.MergesText.Replace("\n", "\r\n", StringComparison.Ordinal));
        int end = SmallTokenizers.Vocabulary()["<|endoftext|>"];
        Assert.DoesNotContain(end, HfTokenizer.FromFolder(folder.Path).Encode("a<|endoftext|>"));

        folder.Write("added_tokens.json", """{"<|endoftext|>": 283, "<new>": 300}""");
        var tokenizer = HfTokenizer.FromFolder(folder.Path);
        Assert.Equal(['a', end, 300], tokenizer.Encode("a<|endoftext|><new>"));
        Assert.Equal(301, tokenizer.VocabularySize);
        Assert.Equal("<new>", tokenizer.Decode([300]));
        Assert.Equal("", tokenizer.Decode([299]));
    }

    [Fact]
    public void A_folder_with_a_sentencepiece_model_is_opened()
    {
        using var folder = new TokenizerFolder();
        string file = folder.Write("tokenizer.model", SmallTokenizers.SentencePieceModel(["▁a", "b", "▁", "a"]));
        Assert.Equal([259, 260], HfTokenizer.FromFolder(folder.Path).Encode("ab"));
        Assert.Equal([259, 260], HfTokenizer.FromFolder(file).Encode("ab"));
    }

    [Fact]
    public void A_folder_with_an_rwkv_vocabulary_is_opened()
    {
        using var folder = new TokenizerFolder();
        string file = folder.Write("rwkv_vocab_v1.txt", SmallTokenizers.RwkvLines("300 'ab' 2"));
        Assert.Equal([300, 'c' + 1], HfTokenizer.FromFolder(folder.Path).Encode("abc"));
        Assert.Equal([300, 'c' + 1], HfTokenizer.FromFolder(file).Encode("abc"));
    }

    [Fact]
    public void The_tokenizer_json_counts_where_there_are_several_kinds()
    {
        using var folder = new TokenizerFolder();
        folder.Write("rwkv_vocab_v1.txt", SmallTokenizers.RwkvLines());
        Assert.Equal(257, HfTokenizer.FromFolder(folder.Path).VocabularySize);
        folder.Write("tokenizer.model", SmallTokenizers.SentencePieceModel(["a"]));
        Assert.Equal(260, HfTokenizer.FromFolder(folder.Path).VocabularySize);
        folder.Write("vocab.json", """{"a": 0}""");
        folder.Write("merges.txt", "");
        Assert.Equal(1, HfTokenizer.FromFolder(folder.Path).VocabularySize);
        folder.Write("tokenizer.json", SmallTokenizers.ByteLevelJson());
        Assert.Equal(284, HfTokenizer.FromFolder(folder.Path).VocabularySize);
    }

    [Fact]
    public void A_folder_without_a_tokenizer_names_what_is_needed()
    {
        using var folder = new TokenizerFolder();
        folder.Write("tokenizer_config.json", "{}");
        string message = Assert.Throws<DirectoryNotFoundException>(() => HfTokenizer.FromFolder(folder.Path)).Message;
        Assert.StartsWith(folder.Path, message, StringComparison.Ordinal);
        foreach (string name in (string[])["tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model", "rwkv_vocab_*.txt"])
            Assert.Contains(name, message, StringComparison.Ordinal);

        folder.Write("a_tokenizer.json", "{}");
        folder.Write("b_tokenizer.json", "{}");
        Assert.Throws<DirectoryNotFoundException>(() => HfTokenizer.FromFolder(folder.Path));
    }

    [Fact]
    public void A_path_to_nothing_is_said_to_be_so()
    {
        Assert.Throws<FileNotFoundException>(() => HfTokenizer.FromFolder("nowhere/tokenizer.json"));
        Assert.Throws<DirectoryNotFoundException>(() => HfTokenizer.FromFolder("nowhere"));
    }

    [Fact]
    public void Half_of_the_files_of_gpt2_asks_for_the_other()
    {
        using var folder = new TokenizerFolder();
        string file = folder.Write("merges.txt", SmallTokenizers.MergesText);
        var error = Assert.Throws<FileNotFoundException>(() => HfTokenizer.FromFolder(file));
        Assert.Contains("neither vocab.json", error.Message, StringComparison.Ordinal);
        Assert.Throws<DirectoryNotFoundException>(() => HfTokenizer.FromFolder(folder.Path));
        File.Delete(file);
        file = folder.Write("vocab.json", SmallTokenizers.VocabularyJson);
        error = Assert.Throws<FileNotFoundException>(() => HfTokenizer.FromFolder(file));
        Assert.Contains("neither merges.txt", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_hash_tells_the_contents_apart_and_not_the_place()
    {
        using var folder = new TokenizerFolder();
        string first = folder.Write("tokenizer.json", SmallTokenizers.ByteLevelJson());
        string same = folder.Write("again_tokenizer.json", SmallTokenizers.ByteLevelJson());
        string other = folder.Write("other_tokenizer.json", SmallTokenizers.ByteLevelJson(normalizer: """{"type": "NFC"}"""));
        string hash = HfTokenizer.FromFolder(first).Hash;
        Assert.Equal(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(
            Encoding.UTF8.GetBytes(SmallTokenizers.ByteLevelJson()))), hash);
        Assert.Equal(hash, HfTokenizer.FromFolder(same).Hash);
        Assert.NotEqual(hash, HfTokenizer.FromFolder(other).Hash);
    }

    [Fact]
    public void One_tokenizer_serves_many_threads()
    {
        var tokenizer = SmallTokenizers.ByteLevel();
        string text = string.Concat(Enumerable.Repeat("the hello world's 123 中😀 ", 200));
        var expected = tokenizer.Encode(text);
        Parallel.For(0, 8, _ => Assert.Equal(expected, tokenizer.Encode(text)));
    }
}
