using System.CommandLine;

namespace ReadTwice.Cli;

/// <summary>The option that every command has.</summary>
internal static class JsonOption
{
    public static Option<bool> Make() => new("--json") { Description = "Print the result as JSON, an object a line." };
}
