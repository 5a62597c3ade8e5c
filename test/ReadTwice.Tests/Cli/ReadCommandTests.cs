namespace ReadTwice.Tests.Cli;

public sealed class ReadCommandTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly string document;

    public ReadCommandTests()
    {
        document = folder.File("document.txt");
        File.WriteAllText(document, string.Join(' ', Enumerable.Range(0, 60).Select(i => $"Line {i} says {i * 7}.")));
    }

    public void Dispose() => folder.Dispose();

    private static int TokensOf(string text) => HfTokenizer.FromFolder(ReadTwice.Cli.ShippedModels.Reader).Encode(text).Count;

    [Fact]
    public void A_document_is_read_and_each_question_is_answered()
    {
        var result = CommandLine.Run("read", document, "--ask", "What says line 3?", "--ask", "Line 4 says", "--max-tokens", "6", "--stop", "", "--json");
        Assert.Equal(0, result.Code);
        Assert.Equal("once", result.Json.GetProperty("reading").GetString());   // it reads in both directions by itself
        Assert.Equal(2, result.Json.GetProperty("answers").GetArrayLength());
        Assert.Equal(TokensOf(File.ReadAllText(document) + "\n"), result.Json.GetProperty("tokens_read").GetInt64());
        Assert.Equal(0, result.Json.GetProperty("tokens_reused").GetInt64());
        Assert.Equal(6, result.Json.GetProperty("answers")[1].GetProperty("tokens").GetInt32());
    }

    [Fact]
    public void A_state_that_was_kept_gives_the_same_answer_without_reading_again()
    {
        string state = folder.File("document.state");
        string[] how = ["--max-tokens", "12", "--stop", "", "--json"];
        var live = CommandLine.Run(["read", document, "--ask", "Line 9 says", "--save-state", state, .. how]);
        Assert.Equal(0, live.Code);
        var kept = CommandLine.Run(["read", "--state", state, "--ask", "Line 9 says", .. how]);
        Assert.Equal(0, kept.Code);
        Assert.Equal(0, kept.Json.GetProperty("tokens_read").GetInt64());
        Assert.Equal(live.Json.GetProperty("tokens_read").GetInt64(), kept.Json.GetProperty("tokens_reused").GetInt64());
        Assert.Equal(live.Json.GetProperty("answers")[0].GetProperty("answer").GetString(), kept.Json.GetProperty("answers")[0].GetProperty("answer").GetString());
        Assert.Contains("read 0 of", CommandLine.Run("read", "--state", state, "--ask", "Line 9 says").Error);
    }

    [Fact]
    public void A_question_put_first_is_read_with_the_document()
    {
        var result = CommandLine.Run("read", document, "--reading", "twice,question-first", "--ask", "Line 3 says", "--max-tokens", "2", "--json");
        Assert.Equal(0, result.Code);
        string text = File.ReadAllText(document);
        Assert.Equal(TokensOf($"Line 3 says\n{text}\n{text}\nLine 3 says"), result.Json.GetProperty("tokens_read").GetInt64());
        CommandLine.Fails(CommandLine.Run("read", document, "--reading", "question-first", "--ask", "x", "--save-state", folder.File("s")), "question-first");
    }

    [Fact]
    public void A_question_longer_than_the_document_is_answered()
    {
        File.WriteAllText(document, "Short.");
        Assert.Equal(0, CommandLine.Run("read", document, "--ask", new string('q', 3000), "--max-tokens", "2").Code);
    }

    [Fact]
    public void Wrong_input_is_told_in_one_line()
    {
        CommandLine.Fails(CommandLine.Run("read", "--ask", "x"), "DOCUMENT", "--state");
        CommandLine.Fails(CommandLine.Run("read", document), "--ask");
        CommandLine.Fails(CommandLine.Run("read", document, "--ask", " "), "empty");
        CommandLine.Fails(CommandLine.Run("read", folder.File("missing.txt"), "--ask", "x"), "missing.txt");
        CommandLine.Fails(CommandLine.Run("read", document, "--ask", "x", "--reading", "thirdly"), "thirdly");
        CommandLine.Fails(CommandLine.Run("read", document, "--ask", "x", "--temperature", "-1"), "Temperature is -1");
        CommandLine.Fails(CommandLine.Run("read", document, "--ask", "x", "--max-tokens", "0"), "--max-tokens is 0");
        CommandLine.Fails(CommandLine.Run("read", document, "--ask", "x", "--model", folder.File("nowhere")), "nowhere", "jrt pull");
        CommandLine.Fails(CommandLine.Run("read", document, "--ask", "x", "--save-state", folder.File("no/such/folder/s")), "no/such/folder");
        File.WriteAllText(document, "  \n ");
        CommandLine.Fails(CommandLine.Run("read", document, "--ask", "x"), "document.txt");
        File.WriteAllBytes(document, [(byte)'a', 0xC3, 0x28]);
        CommandLine.Fails(CommandLine.Run("read", document, "--ask", "x"), "document.txt", "UTF-8");
    }

    [Fact]
    public void A_state_that_is_damaged_or_of_another_model_is_refused_with_the_reason()
    {
        string state = folder.File("document.state");
        Assert.Equal(0, CommandLine.Run("read", document, "--save-state", state).Code);
        byte[] bytes = File.ReadAllBytes(state);

        byte[] flipped = [.. bytes];
        flipped[^1000] ^= 1;
        File.WriteAllBytes(state, flipped);
        CommandLine.Fails(CommandLine.Run("read", "--state", state, "--ask", "x"), "damaged", "document.state");

        File.WriteAllBytes(state, bytes[..^10]);
        CommandLine.Fails(CommandLine.Run("read", "--state", state, "--ask", "x"), "document.state");

        File.WriteAllText(state, "no state at all, but long enough to have a header");
        CommandLine.Fails(CommandLine.Run("read", "--state", state, "--ask", "x"), "document.state");

        using var other = TestModels.Of("state-spaces Mamba");
        using var written = other.Model.NewState();
        other.Model.Prefill(TestModels.Tokens(other.Model, 1, 4, 1), written).Dispose();
        written.Save(state);
        CommandLine.Fails(CommandLine.Run("read", "--state", state, "--ask", "x"), "written by mamba", "this is jrt");
    }
}
