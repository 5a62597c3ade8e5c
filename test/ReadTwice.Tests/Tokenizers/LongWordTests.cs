namespace ReadTwice.Tests;

/// <summary>Words of a million characters: these end only where time does not grow with the square of the length.</summary>
public class LongWordTests
{
    private const int Length = 1_000_000;

    private static readonly string[] kinds =
        ["one letter", "letters", "ideographs", "spaces", "emoji", "line breaks", "digits", "marks"];

    public static TheoryData<string, string> Words
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (string name in RoundTripTests.Names)
                foreach (string kind in kinds)
                    data.Add(name, kind);
            return data;
        }
    }

    [Theory, MemberData(nameof(Words))]
    public void A_million_characters_without_a_break_come_back(string name, string kind)
    {
        var tokenizer = RoundTripTests.Open(name);
        string word = Word(kind);
        Assert.True(tokenizer.Decode(tokenizer.Encode(word)) == word);
    }

    private static string Word(string kind)
    {
        var random = new Random(1);
        return kind switch
        {
            "one letter" => new('a', Length),
            "letters" => Random(() => (char)random.Next('a', 'z' + 1)),
            "ideographs" => Random(() => (char)random.Next(0x4E00, 0x9FFF)),
            "spaces" => new(' ', Length),
            "emoji" => string.Concat(Enumerable.Range(0, Length / 2).Select(_ => Emoji())),
            "line breaks" => Random(() => random.Next(2) == 0 ? '\n' : '\r'),
            "digits" => Random(() => (char)random.Next('0', '9' + 1)),
            "marks" => "x" + new string('\u0323', Length),
            _ => throw new ArgumentOutOfRangeException(nameof(kind)),
        };

        string Emoji() => char.ConvertFromUtf32(random.Next(0x1F600, 0x1F640));

        string Random(Func<char> next) => string.Create(Length, next, (characters, next) =>
        {
            for (int i = 0; i < characters.Length; i++) characters[i] = next();
        });
    }
}
