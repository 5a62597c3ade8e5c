namespace ReadTwice.Tests.Generation;

public sealed class GeneratorTests
{
    private static readonly ByteTokenizer bytes = new();

    private static List<string> Pieces(string script, Continuation continuation)
    {
        using var model = new ScriptedModel(promptTokens: 3, script);
        var generator = new Generator(model, bytes);
        using var state = model.NewState();
        generator.Read(state, bytes.Encode("ask"));
        return [.. generator.Continue(state, continuation).Select(written => written.Text)];
    }

    [Fact]
    public void A_continuation_ends_at_its_budget_of_tokens()
    {
        var pieces = Pieces("Paris, I think", new() { MaxTokens = 5 });
        Assert.Equal(5, pieces.Count);
        Assert.Equal("Paris", string.Concat(pieces));
    }

    [Theory]
    [InlineData("Paris\nLyon", "\n", "Paris")]
    [InlineData("a END", " END", "a")]
    [InlineData("a ENE END", " END", "a ENE")]      // what begins like the stop string is held back, then given out
    [InlineData("aabaabaac", "aabaac", "aab")]      // an overlap within the stop string itself
    public void A_stop_string_ends_the_text_and_is_no_part_of_it(string script, string stop, string text) =>
        Assert.Equal(text, string.Concat(Pieces(script, new() { MaxTokens = 40, Stops = [stop] })));

    [Fact]
    public void The_earliest_of_several_stop_strings_counts() =>
        Assert.Equal("one ", string.Concat(Pieces("one two three", new() { MaxTokens = 13, Stops = ["three", "two"] })));

    [Fact]
    public void Nothing_that_is_shown_is_taken_back()
    {
        var pieces = Pieces("x\n\ny", new() { MaxTokens = 4, Stops = ["\n\n"] });
        Assert.Equal(["x", "", ""], pieces);
    }

    [Fact]
    public void Half_a_character_is_never_shown()
    {
        var pieces = Pieces("é€", new() { MaxTokens = 5 });
        Assert.Equal(["", "é", "", "", "€"], pieces);
        Assert.Equal("�", string.Concat(Pieces("€", new() { MaxTokens = 2 })));
    }

    [Fact]
    public void Writing_can_be_stopped_between_tokens()
    {
        using var model = new ScriptedModel(3, "endless");
        var generator = new Generator(model, bytes);
        using var state = model.NewState();
        generator.Read(state, bytes.Encode("ask"));
        using var source = new CancellationTokenSource();
        int seen = 0;
        Assert.Throws<OperationCanceledException>(() =>
        {
            foreach (var _ in generator.Continue(state, new(), cancel: source.Token))
                if (++seen == 3) source.Cancel();
        });
        Assert.Equal(3, seen);
    }

    [Fact]
    public void A_long_text_is_read_in_pieces_and_its_prefix_as_a_whole()
    {
        using var model = new ScriptedModel(0, "") { EncoderLength = 3000 };
        using var state = model.NewState();
        var told = new List<int>();
        new Generator(model, bytes).Read(state, [.. Enumerable.Repeat(65, 6000)], new Told(told));
        Assert.Equal([(3000, 3000), (2048, 0), (952, 0)], model.Calls);
        Assert.Equal([3000, 5048, 6000], told);
        new Generator(model, bytes).Read(state, [65]);
        Assert.Equal((1, 0), model.Calls[^1]);
    }

    [Fact]
    public void A_text_shorter_than_the_prefix_is_brought_to_its_length_as_published_and_left_alone_as_exact()
    {
        using var model = new ScriptedModel(0, "") { EncoderLength = 8 };
        var generator = new Generator(model, bytes);
        var (published, padded) = generator.Begin(bytes.Encode("abc"), PaddingRule.AsPublished);
        Assert.Equal(bytes.Encode("     abc"), padded);
        Assert.Equal([5], published.Padding!.Tokens);
        var (exact, plain) = generator.Begin(bytes.Encode("abc"));
        Assert.Equal(bytes.Encode("abc"), plain);
        Assert.Null(exact.Padding);
        published.Dispose();
        exact.Dispose();
    }

    [Fact]
    public void Nothing_read_cannot_be_continued_and_nothing_cannot_be_read()
    {
        using var model = new ScriptedModel(0, "");
        var generator = new Generator(model, bytes);
        using var state = model.NewState();
        Assert.Contains("Nothing was read yet", Assert.Throws<ArgumentException>(() => generator.Continue(state, new())).Message);
        Assert.Contains("no tokens", Assert.Throws<ArgumentException>(() => generator.Read(state, [])).Message);
    }

    private sealed class Told(List<int> told) : IProgress<int>
    {
        public void Report(int value) => told.Add(value);
    }
}
