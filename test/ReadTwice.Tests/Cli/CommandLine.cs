using System.Text.Json;
using ReadTwice.Cli;

namespace ReadTwice.Tests.Cli;

/// <summary>Runs command lines in this process, as if piped.</summary>
internal static class CommandLine
{
    public sealed record Result(int Code, string Out, string Error)
    {
        public JsonElement Json => JsonDocument.Parse(Out).RootElement;
    }

    public static Result Run(params string[] args) => RunPiped("", args);

    public static Result RunPiped(string input, params string[] args)
    {
        Native.Libtorch.Threads = 1;
        using var output = new StringWriter { NewLine = "\n" };
        using var error = new StringWriter { NewLine = "\n" };
        int code = Jrt.Run(args, new(output, error, new StringReader(input), IsInteractive: false), CancellationToken.None).GetAwaiter().GetResult();
        return new(code, output.ToString(), error.ToString());
    }

    /// <summary>Asserts that a command fails with one line that says all of these.</summary>
    public static void Fails(Result result, params string[] says)
    {
        Assert.Equal(1, result.Code);
        string line = Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.All(says, each => Assert.Contains(each, line));
        Assert.DoesNotContain("   at ", line);
    }
}
