using System.CommandLine;

namespace ReadTwice.Cli;

/// <summary>The option that says how documents are read.</summary>
internal static class ReadingOption
{
    public static Option<string?> Make(string description) => new("--reading", "-r")
    {
        Description = description + " Without it, twice; once for a model that reads in both directions by itself.",
        HelpName = "READING",
    };

    /// <summary>What was asked for; null where the model decides.</summary>
    public static Reading? Read(ParseResult parsed, Option<string?> option) => parsed.GetValue(option) is { } reading ? Reading.Parse(reading) : null;

    /// <summary>What a model is given where nobody said.</summary>
    public static Reading Default(ILanguageModel model) => model.EncoderLength > 0 ? Reading.Once : Reading.Twice;
}
