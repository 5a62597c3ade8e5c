using System.Text;
using ReadTwice.Training;

namespace ReadTwice.Tests.Training;

public sealed class BytePairTrainingTests : IDisposable
{
    private const string Text = "The cat sat on the mat. The cat, the bat and the rat sat: café, naïve, 漢字, 12345 12345!\n\nEnd\tof it.";
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Any_text_is_encoded_and_decoded_to_itself()
    {
        var tokenizer = Learn(300, Text);
        foreach (string text in (string[])[Text, "unseen: Ω ≈ 3.14 🙂 \r\n  two  spaces ", ""])
            Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text)));
    }

    [Fact]
    public void The_most_frequent_pair_is_joined_first_and_of_equals_the_one_of_lower_ids()
    {
        Assert.Equal("""["a b","c d","e f"]""", Merges(Train(260, "ab ab ab cd cd ef ef")));
        Assert.Equal("""["e f","Ġ ef","a b"]""", Merges(Train(260, "ab ab cd cd ef ef ef")));
    }

    [Fact]
    public void The_same_texts_in_another_order_give_the_same_vocabulary()
    {
        string[] texts = Text.Split(' ');
        Assert.Equal(Train(320, texts), Train(320, [.. texts.Reverse()]));
    }

    [Fact]
    public void The_vocabulary_has_the_size_that_was_asked_for_and_ends_with_the_end_of_text()
    {
        var tokenizer = Learn(270, Text);
        Assert.Equal(270, tokenizer.VocabularySize);
        Assert.Equal(269, tokenizer.EndOfText);
        Assert.Equal([269], tokenizer.Encode(BytePairTraining.EndOfText));
    }

    [Fact]
    public void A_short_text_gives_a_smaller_vocabulary() => Assert.Equal(258, Learn(4096, "ab ab").VocabularySize);

    [Fact]
    public void A_longer_training_only_adds_merges() =>
        Assert.StartsWith(Merges(Train(265, Text)).TrimEnd(']'), Merges(Train(270, Text)), StringComparison.Ordinal);

    [Fact]
    public void Bytes_alone_are_too_few() => Assert.Throws<ArgumentException>(() => Train(256, Text));

    private static string Train(int size, params string[] texts)
    {
        var training = new BytePairTraining();
        foreach (string text in texts) training.Add(text);
        return training.Train(size);
    }

    private Tokenizer Learn(int size, string text)
    {
        File.WriteAllText(folder.File("tokenizer.json"), Train(size, text), new UTF8Encoding(false));
        return HfTokenizer.FromFolder(folder.Path);
    }

    private static string Merges(string json)
    {
        int at = json.IndexOf("\"merges\":", StringComparison.Ordinal) + "\"merges\":".Length;
        return json[at..(json.IndexOf(']', at) + 1)];
    }
}
