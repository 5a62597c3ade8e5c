using System.CommandLine;

namespace ReadTwice.Cli;

/// <summary>The option that says how a text shorter than the model's prefix is read.</summary>
internal static class PaddingOption
{
    public static Option<string> Make() => new Option<string>("--padding")
    {
        Description = "How a text shorter than JRT-RNN's prefix is read: exact as it is; published with spaces before it, as the authors' evaluation does.",
        DefaultValueFactory = _ => "exact",
    }.AcceptOnlyFromAmong("exact", "published");

    public static PaddingRule Read(ParseResult parsed, Option<string> option) =>
        parsed.GetValue(option) == "published" ? PaddingRule.AsPublished : PaddingRule.Exact;
}
