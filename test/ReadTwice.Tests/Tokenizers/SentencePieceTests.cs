using System.Buffers.Binary;
using ReadTwice.Tokenizers;

namespace ReadTwice.Tests;

public class SentencePieceTests
{
    private const int First = 3 + 256;   // the id of the first piece after <unk>, <s>, </s> and the bytes

    [Fact]
    public void A_space_is_put_before_a_text_and_taken_away_again()
    {
        var tokenizer = Open(SmallTokenizers.SentencePieceModel(["▁", "▁a", "a", "b"]));
        Assert.Equal([First + 1, First + 3], tokenizer.Encode("ab"));
        Assert.Equal("ab", tokenizer.Decode(tokenizer.Encode("ab")));
        Assert.Equal("  a ", tokenizer.Decode(tokenizer.Encode("  a ")));
        Assert.Equal("", tokenizer.Decode(tokenizer.Encode("")));
        Assert.Empty(tokenizer.Encode(""));
        Assert.Equal("a", tokenizer.Decode([1, First + 1]));
        Assert.Equal("a a", tokenizer.Decode([First + 1, First + 1]));
    }

    [Fact]
    public void Spaces_are_kept_or_dropped_as_the_model_says()
    {
        string[] pieces = ["▁", "a"];
        Assert.Equal([First + 1, First, First, First + 1, First],
            Open(SmallTokenizers.SentencePieceModel(pieces, addsSpace: false)).Encode("a  a "));
        Assert.Equal([First, First + 1, First, First + 1],
            Open(SmallTokenizers.SentencePieceModel(pieces, removesSpaces: true)).Encode("  a  a "));
        Assert.Empty(Open(SmallTokenizers.SentencePieceModel(pieces, removesSpaces: true)).Encode("   "));
    }

    [Fact]
    public void A_character_that_is_no_piece_becomes_its_bytes()
    {
        var tokenizer = Open(SmallTokenizers.SentencePieceModel(["▁", "a"]));
        Assert.Equal([First, 3 + 0xC3, 3 + 0xA9, First + 1], tokenizer.Encode("éa"));
        Assert.Equal("é\uFFFD", tokenizer.Decode([3 + 0xC3, 3 + 0xA9, 3 + 0xC3]));
    }

    [Fact]
    public void Unknown_characters_in_a_row_are_one_token_where_there_are_no_bytes()
    {
        foreach (long model in (long[])[1, 2])
        {
            var tokenizer = Open(SmallTokenizers.SentencePieceModel(["▁", "a"], model, byteFallback: false));
            Assert.Equal([3, 0, 4, 0], tokenizer.Encode("éé😀a中"));
            Assert.Equal("\u2047 a", tokenizer.Decode([0, 4]));
        }
    }

    [Fact]
    public void Control_pieces_are_not_found_in_text_and_decode_to_nothing()
    {
        var tokenizer = Open(SmallTokenizers.SentencePieceModel(["▁"]));
        Assert.DoesNotContain(tokenizer.Encode("<s></s><unk><0x41>"), id => id < 3);
        Assert.Equal(1 + "<s></s>".Length, tokenizer.Encode("<s></s>").Count);
        Assert.Equal("", tokenizer.Decode([1, 2]));
        Assert.Equal(2, tokenizer.EndOfText);
    }

    [Fact]
    public void Pieces_of_the_user_are_found_first()
    {
        var bpe = Open(SmallTokenizers.SentencePieceModel(["▁", "ab", "a", "b", "c"], userDefined: ["bc", "▁▁"]));
        Assert.Equal([First + 2, First + 4, First, First + 4], bpe.Encode("abca"));
        Assert.Equal([First + 1, First + 4], bpe.Encode(" a"));
        var unigram = Open(SmallTokenizers.SentencePieceModel(["▁", "ab", "a", "b", "c"], model: 1, userDefined: ["bc"]));
        Assert.Equal([First + 1, First + 3, First], unigram.Encode("abc"));
    }

    [Fact]
    public void A_unigram_model_takes_the_best_sum_of_scores()
    {
        // Scores go down by one from -1: "▁a" + "bc" is -2 - 3, "▁" + "abc" is -1 - 5.
        var tokenizer = Open(SmallTokenizers.SentencePieceModel(["▁", "▁a", "bc", "a", "abc", "b", "c"], model: 1));
        Assert.Equal([First + 1, First + 2], tokenizer.Encode("abc"));
        Assert.Equal([First + 1, First + 2, First + 4], tokenizer.Encode("abcabc"));
        Assert.Equal([First, 3 + 'x'], tokenizer.Encode("x"));
    }

    [Fact]
    public void Characters_are_replaced_as_the_map_says()
    {
        // A double-array trie for "A" -> "a" and "AB" -> "bb": its units stand where their label is added to a place by xor.
        uint[] units = new uint[512];
        units[0] = 1u << 10;                                     // children of the root at 1 ^ label
        units[1 ^ 'A'] = (uint)'A' | 0x100 | ((1u ^ 'A' ^ 256) << 10);   // a value at 256, children at 256 ^ label
        units[256] = 0x80000000 | 0;
        units[256 ^ 'B'] = (uint)'B' | 0x100 | ((256u ^ 'B' ^ 300) << 10);
        units[300] = 0x80000000 | 2;
        byte[] map = new byte[4 + 4 * units.Length];
        BinaryPrimitives.WriteInt32LittleEndian(map, 4 * units.Length);
        for (int i = 0; i < units.Length; i++) BinaryPrimitives.WriteUInt32LittleEndian(map.AsSpan(4 + 4 * i), units[i]);
        map = [.. map, .. "a\0bb\0"u8];
        Assert.Equal("a-bbB-é😀", new CharacterMap(map).Apply("A-ABB-é😀"));

        var tokenizer = Open(SmallTokenizers.SentencePieceModel(["▁", "a", "b"], characterMap: map, userDefined: ["AA"]));
        Assert.Equal([First + 1, First + 3, First + 3, First + 2], tokenizer.Encode("ABA"));
        // What the user defined is left as it is.
        Assert.Equal([First + 1, First, 3 + 'B', First, First + 2], tokenizer.Encode("AABAAA"));
    }

    [Fact]
    public void A_map_of_characters_that_leads_outside_itself_replaces_nothing()
    {
        byte[] leadsOut = [4, 0, 0, 0, 0, 0xFF, 0xFF, 0x7F, 0];
        Assert.Equal("aé", new CharacterMap(leadsOut).Apply("aé"));
        Assert.Throws<InvalidDataException>(() => new CharacterMap([8, 0, 0, 0, 0, 0, 0, 0]));
    }

    [Fact]
    public void A_file_cut_anywhere_is_refused_or_still_whole()
    {
        byte[] whole = SmallTokenizers.SentencePieceModel(["▁", "a"], byteFallback: false);
        int refused = 0;
        for (int length = 0; length < whole.Length; length++)
        {
            try
            {
                Open(whole[..length]);
            }
            catch (InvalidDataException)
            {
                refused++;
            }
        }
        Assert.InRange(refused, whole.Length / 2, whole.Length);
    }

    private static Tokenizer Open(byte[] model) => SentencePiece.Read(model, "");
}
