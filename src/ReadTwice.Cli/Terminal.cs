using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Spectre.Console;

namespace ReadTwice.Cli;

/// <summary>Where a command writes: results to one stream, what accompanies them (progress, figures, warnings) to the other.</summary>
/// <param name="Out">Results.</param>
/// <param name="Error">All else.</param>
/// <param name="In">What is piped in.</param>
/// <param name="IsInteractive">Whether a person watches the second stream, so that progress is worth drawing.</param>
internal sealed record Terminal(TextWriter Out, TextWriter Error, TextReader In, bool IsInteractive)
{
    private static readonly JsonSerializerOptions json = new(JsonSerializerDefaults.Web)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    /// <summary>The streams of this process, in UTF-8.</summary>
    public static Terminal OfProcess()
    {
        var utf8 = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
        return new(
            new StreamWriter(Console.OpenStandardOutput(), utf8) { AutoFlush = true },
            new StreamWriter(Console.OpenStandardError(), utf8) { AutoFlush = true },
            new StreamReader(Console.OpenStandardInput(), utf8),
            !Console.IsErrorRedirected);
    }

    /// <summary>Writes a result as JSON on one line.</summary>
    public void WriteJson<T>(T result) => Out.WriteLine(JsonSerializer.Serialize(result, json));

    /// <summary>Writes a result as JSON to a file.</summary>
    public static void WriteJson<T>(Stream stream, T result) => JsonSerializer.Serialize(stream, result, json);

    /// <summary>Reads what <see cref="WriteJson{T}(T)"/> wrote.</summary>
    /// <exception cref="JsonException">It is something else.</exception>
    public static T ReadJson<T>(string text) => JsonSerializer.Deserialize<T>(text, json) ?? throw new JsonException("null");

    /// <summary>Writes a table of results; plain and unwrapped where no person watches.</summary>
    public void WriteTable(Table table)
    {
        var console = AnsiConsole.Create(new() { Out = new AnsiConsoleOutput(Out), Ansi = AnsiSupport.No, ColorSystem = ColorSystemSupport.NoColors });
        if (!IsInteractive || Console.IsOutputRedirected) console.Profile.Width = 240;
        console.Write(table.Border(TableBorder.Simple));
    }

    /// <summary>Shows a bar while work goes on; nothing is drawn where no person watches.</summary>
    /// <param name="what">What is being done.</param>
    /// <param name="work">The work, given a place to report the done part, from 0 to 1.</param>
    public T WithProgress<T>(string what, Func<IProgress<double>, T> work)
    {
        if (!IsInteractive) return work(new Report(_ => { }));
        var console = AnsiConsole.Create(new() { Out = new AnsiConsoleOutput(Error) });
        return console.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(context =>
            {
                var task = context.AddTask(Markup.Escape(what), maxValue: 1);
                return work(new Report(part => task.Value = part));
            });
    }

    // Unlike Progress<T> it calls at once, on the thread that works.
    private sealed class Report(Action<double> call) : IProgress<double>
    {
        void IProgress<double>.Report(double value) => call(value);
    }
}
