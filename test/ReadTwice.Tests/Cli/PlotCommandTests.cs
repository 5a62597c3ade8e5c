using SkiaSharp;

namespace ReadTwice.Tests.Cli;

public sealed class PlotCommandTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    public static TheoryData<string, string, int> Kinds => new()
    {
        { "log.jsonl", string.Concat(Enumerable.Range(1, 300).Select(step => $$"""{"step":{{step}},"loss":{{900.0 / step:0.000}},"next":{{900.0 / step:0.000}},"answers_right":0.5}""" + "\n")), 2 },
        { "eval.json", """
            { "results": [
              { "task": "fda", "model": "a", "reading": "once", "context": 512, "score": 70, "low": 68, "high": 72, "state_bytes": 1000000, "state_bytes_per_token": 0 },
              { "task": "fda", "model": "a", "reading": "twice", "context": 1024, "score": 60, "low": 58, "high": 62, "state_bytes": 1000000, "state_bytes_per_token": 0 } ] }
            """, 2 },
        { "bench.json", """{"machine":{"processor":"p","threads":2,"vector_bits":512,"runtime":"r","date":"d"},"rows":[{"bench":"b","shape":{"T":512},"ours_ms":1.5,"ours_spread":0.1,"peer":"p","peer_ms":3,"peer_spread":0,"agreement":"NaN"}]}""", 1 },
        { "sets.csv", "model,width,features,state_bytes,seed,order,a,b,trained,accuracy\ncausal,8,2,500,1,short-first,2,8,yes,0.5\ncausal,8,2,500,1,long-first,8,2,yes,0.25\n", 3 },
    };

    [Theory, MemberData(nameof(Kinds))]
    public void What_jrt_writes_is_drawn_with_a_panel_for_each_view(string name, string content, int panels)
    {
        File.WriteAllText(folder.File(name), content);
        var drawn = CommandLine.Run("plot", folder.File(name), "--out", folder.File("p.png"));
        Assert.True(drawn.Code == 0, drawn.Error);
        using var picture = SKBitmap.Decode(folder.File("p.png"));
        Assert.Equal(panels, Frames(picture));

        Assert.Equal(0, CommandLine.Run("plot", folder.File(name), "--out", folder.File("p.svg")).Code);
        Assert.StartsWith("<?xml", File.ReadAllText(folder.File("p.svg")), StringComparison.Ordinal);
    }

    [Fact]
    public void Several_logs_are_as_many_lines_and_a_line_cut_short_is_left_out()
    {
        foreach (string run in (string[])["first", "second"])
        {
            Directory.CreateDirectory(folder.File(run));
            File.WriteAllText(folder.File($"{run}/log.jsonl"), """{"step":1,"loss":2,"next":2}""" + "\n" + """{"step":2,"loss":1,"next":1}""" + "\n" + """{"step":3,"lo""");
        }
        Assert.Equal(0, CommandLine.Run("plot", folder.File("first/log.jsonl"), folder.File("second/log.jsonl"), "--out", folder.File("p.svg")).Code);
        string[] texts = [.. File.ReadLines(folder.File("p.svg")).Select(line => line.Trim())];
        Assert.Contains("first", texts);
        Assert.Contains("second", texts);
    }

    [Fact]
    public void What_cannot_be_drawn_is_told_in_one_line()
    {
        File.WriteAllText(folder.File("a.txt"), "Once upon a time\n");
        File.WriteAllText(folder.File("empty"), "");
        File.WriteAllText(folder.File("other.json"), "{ \"a\": 1 }");
        File.WriteAllText(folder.File("lacking.json"), "{ \"results\": [ { \"task\": \"fda\" } ] }");
        File.WriteAllText(folder.File("none.json"), "{ \"results\": [] }");
        File.WriteAllText(folder.File("log.jsonl"), """{"step":1,"loss":2}""");
        CommandLine.Fails(Plot("a.txt"), "a.txt", "Once upon", "jrt train");
        CommandLine.Fails(Plot("empty"), "is empty");
        CommandLine.Fails(Plot("other.json"), "other.json", "jrt eval");
        CommandLine.Fails(Plot("lacking.json"), "lacking.json", "missing");
        CommandLine.Fails(Plot("none.json"), "no results");
        CommandLine.Fails(Plot("gone"), "gone");
        CommandLine.Fails(CommandLine.Run("plot", folder.File("log.jsonl"), folder.File("other.json"), "-o", folder.File("p.png")), "other.json");
        CommandLine.Fails(CommandLine.Run("plot", folder.File("log.jsonl"), folder.File("none.json"), "-o", folder.File("p.png")), "one kind");
        CommandLine.Fails(CommandLine.Run("plot", folder.File("log.jsonl"), "-o", folder.File("p.gif")), ".gif");
        Assert.False(File.Exists(folder.File("p.png")));
    }

    private CommandLine.Result Plot(string name) => CommandLine.Run("plot", folder.File(name), "--out", folder.File("p.png"));

    // Panels have a black frame: their upper edges are the long dark stretches of the picture's topmost dark row that has one.
    private static int Frames(SKBitmap picture)
    {
        const int Long = 300;
        for (int y = 0; y < picture.Height; y++)
        {
            int frames = 0, run = 0;
            for (int x = 0; x < picture.Width; x++)
            {
                var color = picture.GetPixel(x, y);
                run = color.Red + color.Green + color.Blue < 200 ? run + 1 : 0;
                if (run == Long) frames++;
            }
            if (frames > 0) return frames;
        }
        return 0;
    }
}
