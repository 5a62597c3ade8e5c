using CsCheck;
using ReadTwice.Tokenizers;

namespace ReadTwice.Tests;

public class BpeTests
{
    // Ranks may be equal, as the scores of SentencePiece pieces are, and need not rise with the length of what is joined.
    private static readonly Gen<List<(int Left, int Right, int Rank, int Id)>> merges =
        Gen.Select(Gen.Int[0, 100], Gen.Int[0, 100], Gen.Int[0, 9]).List[0, 40].Select(picks => picks.Index()
            .Select(pick => (Id: 4 + pick.Index, pick.Item))
            .Select(pick => (pick.Item.Item1 % pick.Id, pick.Item.Item2 % pick.Id, pick.Item.Item3, pick.Id))
            .DistinctBy(merge => (merge.Item1, merge.Item2)).ToList());

    [Fact]
    public void Short_and_long_words_are_joined_as_the_definition_says() =>
        Gen.Select(merges, Gen.Int[0, 3].Array[0, 60]).Sample((merges, word) =>
        {
            var bpe = new Bpe(new Vocabulary(), merges);
            int[] expected = Definition(merges, word);
            int[] brief = [.. word], lengthy = [.. word];
            Assert.Equal(expected, brief[..bpe.JoinShort(brief)]);
            Assert.Equal(expected, lengthy[..bpe.JoinLong(lengthy)]);
        });

    [Fact]
    public void A_long_word_is_joined_as_its_short_parts_where_no_merge_crosses_them()
    {
        var tokenizer = SmallTokenizers.ByteLevel();
        string word = string.Concat(Enumerable.Repeat("hello123", 1000));
        var part = tokenizer.Encode("hello123");
        Assert.Equal([256 + 9, 256 + 15], part);
        // Letters and digits are words of their own, so the long word has to be of one kind.
        Assert.Equal(Enumerable.Repeat(part[0], 1000), tokenizer.Encode(word.Replace("123", "", StringComparison.Ordinal)));
    }

    [Fact]
    public void The_leftmost_of_equal_pairs_is_joined_first()
    {
        var tokenizer = SmallTokenizers.ByteLevel();
        var names = SmallTokenizers.Vocabulary();
        Assert.Equal([names["aa"], names["a"]], tokenizer.Encode("aaa"));
        Assert.Equal([names["aaaaaaaa"], names["aaaa"], names["aa"], names["a"]], tokenizer.Encode(new string('a', 15)));
    }

    [Fact]
    public void A_word_that_is_a_token_stays_whole_only_if_merges_are_ignored()
    {
        string vocabulary = "{\"xyz\": 400, " + SmallTokenizers.VocabularyJson[1..];
        string kept = SmallTokenizers.ByteLevelJson(model: "\"ignore_merges\": true,", vocabulary: vocabulary);
        Assert.Equal([400], SmallTokenizers.FromJson(kept).Encode("xyz"));
        string joined = SmallTokenizers.ByteLevelJson(vocabulary: vocabulary);
        Assert.Equal(['x', 'y', 'z'], SmallTokenizers.FromJson(joined).Encode("xyz"));
    }

    private static int[] Definition(List<(int Left, int Right, int Rank, int Id)> merges, int[] word)
    {
        var symbols = word.ToList();
        while (true)
        {
            var possible = from place in Enumerable.Range(0, Math.Max(0, symbols.Count - 1))
                           from merge in merges
                           where merge.Left == symbols[place] && merge.Right == symbols[place + 1]
                           orderby merge.Rank, place
                           select (place, merge.Id);
            if (!possible.Any()) return [.. symbols];
            var (first, id) = possible.First();
            symbols[first] = id;
            symbols.RemoveAt(first + 1);
        }
    }
}
