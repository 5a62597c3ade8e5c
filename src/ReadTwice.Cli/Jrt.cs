using System.CommandLine;
using System.CommandLine.Parsing;

namespace ReadTwice.Cli;

/// <summary>The command line as a whole: a command a file.</summary>
internal static class Jrt
{
    private const int Failed = 1, Misused = 2;

    /// <summary>Runs one command line and gives its exit code: 0 done, 1 an error that was told in one line, 2 a wrong command line.</summary>
    public static async Task<int> Run(string[] args, Terminal terminal, CancellationToken cancel = default)
    {
        var root = new RootCommand("Reads long documents with recurrent language models, once or twice, and answers questions from a small state.")
        {
            ReadCommand.Make(terminal),
            ExtractCommand.Make(terminal),
            GenerateCommand.Make(terminal),
            TokenizeCommand.Make(terminal),
            InfoCommand.Make(terminal),
            PullCommand.Make(terminal),
            VerifyCommand.Make(terminal),
            TokenizerCommand.Make(terminal),
            PrepareCommand.Make(terminal),
            TrainCommand.Make(terminal),
            EvalCommand.Make(terminal),
            SynthCommand.Make(terminal),
            BenchCommand.Make(terminal),
            PlotCommand.Make(terminal),
        };
        var parsed = root.Parse(args);
        if (WrongUse(parsed, args) is { } wrong)
        {
            terminal.Error.WriteLine($"{OneLine(wrong)} See: jrt {(parsed.CommandResult.Command == root ? "" : parsed.CommandResult.Command.Name + " ")}--help");
            return Misused;
        }
        try
        {
            return await parsed.InvokeAsync(
                new() { Output = terminal.Out, Error = terminal.Error, EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null }, cancel);
        }
        catch (OperationCanceledException)
        {
            terminal.Error.WriteLine("Stopped.");
            return Failed;
        }
        catch (Exception e) when (IsExpected(e))
        {
            terminal.Error.WriteLine(OneLine(e.Message));
            return Failed;
        }
    }

    // The parser takes an option that a command has not for one of its arguments; only after -- can it be meant as one.
    private static string? WrongUse(ParseResult parsed, string[] args)
    {
        if (parsed.Errors.Count > 0) return parsed.Errors[0].Message;
        if (args.Contains("--")) return null;
        var option = parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(argument => argument.Tokens)
            .FirstOrDefault(token => token.Value.StartsWith("--", StringComparison.Ordinal));
        return option is null ? null : $"{option.Value} is no option of this command.";
    }

    /// <summary>Whether an error tells of wrong input or of the machine, and not of a mistake of ours.</summary>
    public static bool IsExpected(Exception e) =>
        e is IOException or InvalidDataException or ArgumentException or UnauthorizedAccessException or PlatformNotSupportedException
            or HttpRequestException or FormatException;

    /// <summary>A message without line breaks.</summary>
    public static string OneLine(string message)
    {
        int parameter = message.LastIndexOf(" (Parameter '", StringComparison.Ordinal);   // which .NET adds, and no user needs
        return (parameter < 0 ? message : message[..parameter]).ReplaceLineEndings(" ").Trim();
    }
}
