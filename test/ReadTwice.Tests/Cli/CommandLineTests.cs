using System.Text.Json;

namespace ReadTwice.Tests.Cli;

public sealed class CommandLineTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("read"), InlineData("extract"), InlineData("generate"), InlineData("tokenize"), InlineData("info"), InlineData("pull"), InlineData("verify"), InlineData("train"), InlineData("prepare"), InlineData("eval")]
    public void Every_command_has_help_and_a_json_form(string command)
    {
        var result = CommandLine.Run(command, "--help");
        Assert.Equal(0, result.Code);
        Assert.Contains("--json", result.Out);
        Assert.Contains(command, CommandLine.Run("--help").Out);
    }

    [Theory]
    [InlineData("reed"), InlineData("read", "--no-such-option"), InlineData("tokenize", "text"), InlineData("read", "d.txt", "--max-tokens", "many"), InlineData]
    public void A_wrong_command_line_gives_one_line_and_code_2(params string[] args)
    {
        var result = CommandLine.Run(args);
        Assert.Equal(2, result.Code);
        Assert.Contains("--help", Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)));
        Assert.Empty(result.Out);
    }

    [Fact]
    public void A_text_that_is_piped_in_is_continued()
    {
        string[] command = ["generate", "--max-tokens", "8", "--json"];
        var piped = CommandLine.RunPiped("Once upon a time", command);
        Assert.Equal(0, piped.Code);
        Assert.Equal(8, piped.Json.GetProperty("tokens").GetInt32());
        Assert.Equal(piped.Json.GetProperty("text").GetString(), CommandLine.Run(["generate", "Once upon a time", .. command[1..]]).Json.GetProperty("text").GetString());
        CommandLine.Fails(CommandLine.RunPiped("", "generate"), "prompt is empty");
    }

    [Fact]
    public void A_fixture_is_verified_and_one_that_fails_gives_code_1()
    {
        string kept = Path.Combine(AppContext.BaseDirectory, "Golden", "mamba-hf");
        var passed = CommandLine.Run("verify", kept, "--json");
        Assert.Equal(0, passed.Code);
        Assert.True(passed.Json.GetProperty("passed").GetBoolean());
        Assert.All(passed.Json.GetProperty("results").EnumerateArray(), result => Assert.True(result.GetProperty("difference").GetDouble() <= result.GetProperty("tolerance").GetDouble()));

        foreach (string file in Directory.GetFiles(kept)) File.Copy(file, folder.File(Path.GetFileName(file)));
        string config = folder.File("config.json");
        File.WriteAllText(config, File.ReadAllText(config).Replace("\"layer_norm_epsilon\": 1e-05", "\"layer_norm_epsilon\": 1e-02", StringComparison.Ordinal));
        var failed = CommandLine.Run("verify", folder.Path);
        Assert.Equal(1, failed.Code);
        Assert.Contains("FAILED", failed.Out);
        Assert.Contains("over the tolerance", failed.Out);
        Assert.Equal(1, CommandLine.Run("verify", folder.File("nothing")).Code);
    }

    [Fact]
    public void A_checkpoint_shows_what_it_is()
    {
        var info = CommandLine.Run("info", Path.Combine(AppContext.BaseDirectory, "Golden", "jrt"), "--json").Json;
        Assert.Equal("jrt", info.GetProperty("architecture").GetString());
        Assert.Equal(32, info.GetProperty("prefix_tokens").GetInt64());
        Assert.Equal(2, info.GetProperty("layers").GetProperty("GatedConvolution").GetInt32());
        Assert.Equal(0, info.GetProperty("state_bytes_per_token").GetInt64());
        Assert.Empty(info.GetProperty("unused_tensors").EnumerateArray());
        Assert.Contains("state", CommandLine.Run("info", Path.Combine(AppContext.BaseDirectory, "Golden", "jrt")).Out);
        Assert.Equal(JsonValueKind.Null, info.GetProperty("quantized").ValueKind);
    }

    [Fact]
    public void Info_tells_what_rounding_costs()
    {
        string model = Path.Combine(AppContext.BaseDirectory, "models", "fda-jrt");
        using var folder = new TemporaryFolder();
        string text = folder.File("text.txt");
        File.WriteAllText(text, "510(k) Number: K123456. The device is a catheter for single use; its predicate is K000001.");
        var rounding = CommandLine.Run("info", model, "--quantize", "int8", "--text", text, "--json").Json.GetProperty("quantized");
        double loss = rounding.GetProperty("loss").GetDouble(), before = rounding.GetProperty("loss_before").GetDouble();
        Assert.InRange(before, 0.1, 12);
        Assert.InRange(Math.Abs(loss - before), 1e-7, 0.05);
        Assert.Equal(loss - before, rounding.GetProperty("change").GetDouble(), 1e-12);
        Assert.InRange(rounding.GetProperty("bytes").GetInt64(), 1, rounding.GetProperty("bytes_before").GetInt64() / 2);
        Assert.Contains("wrote itself", CommandLine.Run("info", Path.Combine(AppContext.BaseDirectory, "models", "fda-based"), "--quantize", "int8").Out);
        CommandLine.Fails(CommandLine.Run("info", model, "--quantize", "int8"), "prefix", "--text FILE");
        CommandLine.Fails(CommandLine.Run("info", model, "--text", text), "--quantize int8");
    }

    [Fact]
    public void Lines_that_are_no_objects_with_a_text_are_told_by_number()
    {
        string lines = folder.File("lines.jsonl"), vocabulary = folder.File("vocab.json");
        File.WriteAllText(lines, "{\"text\":\"ab\"}\n{\"txt\":1}\n");
        File.WriteAllText(vocabulary, JsonSerializer.Serialize(Enumerable.Range(0, 256).ToDictionary(i => ByteCharacter(i).ToString(), i => i)));
        File.WriteAllText(folder.File("merges.txt"), "#version: 0.2\n");
        var result = CommandLine.Run("tokenize", "--tokenizer", folder.Path, "--jsonl", lines);
        Assert.Equal("[97, 98]\n", result.Out);
        CommandLine.Fails(result, "lines.jsonl, line 2", "\"text\"");
    }

    // The printable stand-ins that byte-level vocabularies write for bytes.
    private static char ByteCharacter(int value)
    {
        static bool Printable(int b) => b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or >= 0xAE;
        return (char)(Printable(value) ? value : 256 + Enumerable.Range(0, value).Count(b => !Printable(b)));
    }
}
