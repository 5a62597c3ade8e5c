using ReadTwice.Cli;

namespace ReadTwice.Tests.Cli;

public sealed class SetDisjointnessCommandTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void One_command_gives_table_picture_and_what_they_show()
    {
        var result = Train("t.csv");
        Assert.Equal(0, result.Code);
        Assert.Contains("1. Causal models do better with the smaller set first.", result.Out, StringComparison.Ordinal);
        string[] lines = File.ReadAllLines(folder.File("t.csv"));
        Assert.Equal("model,width,features,state_bytes,seed,order,a,b,trained,accuracy", lines[0]);
        Assert.Contains(lines, line => line.StartsWith("non-causal,8,2,", StringComparison.Ordinal) && line.Contains(",1,short-first,", StringComparison.Ordinal));
        Assert.Equal([0x89, (byte)'P', (byte)'N', (byte)'G'], File.ReadAllBytes(folder.File("t.png"))[..4]);
        Assert.False(File.Exists(folder.File("t.csv.unfinished")));

        // The table alone says the same again.
        Assert.Equal(result.Out, CommandLine.Run("synth", "set-disjointness", "--check", folder.File("t.csv")).Out);
    }

    [Fact]
    public async Task A_sweep_that_was_stopped_goes_on_in_several_processes_to_the_table_of_one_that_was_not()
    {
        Assert.Equal(0, Train("whole.csv").Code);

        using var stop = new CancellationTokenSource();
        using var error = new StoppingWriter(stop);
        Assert.Equal(1, await Jrt.Run(Args("cut.csv", "--jobs", "1"), new(TextWriter.Null, error, TextReader.Null, IsInteractive: false), stop.Token));
        Assert.Contains("1/4", error.ToString(), StringComparison.Ordinal);
        Assert.False(File.Exists(folder.File("cut.csv")));

        var rest = CommandLine.Run(Args("cut.csv", "--jobs", "2"));
        Assert.True(rest.Code == 0, rest.Error);
        Assert.DoesNotContain("1/4", rest.Error, StringComparison.Ordinal);
        Assert.Equal(File.ReadAllText(folder.File("whole.csv")), File.ReadAllText(folder.File("cut.csv")));
    }

    [Fact]
    public void What_is_no_table_of_runs_is_told_in_one_line()
    {
        File.WriteAllText(folder.File("a.csv"), "name,price\n");
        CommandLine.Fails(CommandLine.Run("synth", "set-disjointness", "--check", folder.File("a.csv")), "a.csv", "name,price", "state_bytes");
        CommandLine.Fails(Train("t.csv", "--plot", folder.File("t.gif")), ".gif");
    }

    private CommandLine.Result Train(string table, params string[] more) => CommandLine.Run(Args(table, ["--jobs", "1", .. more]));

    private string[] Args(string table, params string[] more) =>
        ["synth", "set-disjointness", "--steps", "2", "--width", "8", "--features", "2", "--seeds", "1", "--out", folder.File(table), .. more];

    /// <summary>Stops the command when the first model is done.</summary>
    private sealed class StoppingWriter(CancellationTokenSource stop) : StringWriter
    {
        public override void WriteLine(string? value)
        {
            base.WriteLine(value);
            stop.Cancel();
        }
    }
}
