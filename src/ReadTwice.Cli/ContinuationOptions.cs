using System.CommandLine;

namespace ReadTwice.Cli;

/// <summary>The options that say how an answer is written.</summary>
internal sealed class ContinuationOptions(int maxTokens, string? stop)
{
    private readonly Option<int> tokens = new("--max-tokens", "-n") { Description = "Most tokens to write.", DefaultValueFactory = _ => maxTokens, HelpName = "N" };
    private readonly Option<string[]> stops = new("--stop")
    {
        Description = "Text that ends the answer and is no part of it; \\n is a line break. May be given several times, once empty for none.",
        DefaultValueFactory = _ => stop is null ? [] : [stop],
        HelpName = "TEXT",
    };

    private readonly Option<double> temperature = new("--temperature") { Description = "0 takes the likeliest token; higher draws more freely.", HelpName = "X" };
    private readonly Option<int> topK = new("--top-k") { Description = "Draw from this many of the likeliest tokens; 0 for all.", HelpName = "N" };
    private readonly Option<double> topP = new("--top-p") { Description = "Draw from the likeliest tokens that together reach this probability.", DefaultValueFactory = _ => 1, HelpName = "X" };
    private readonly Option<double> minP = new("--min-p") { Description = "Draw from tokens at least this fraction as likely as the likeliest.", HelpName = "X" };
    private readonly Option<double> penalty = new("--repetition-penalty") { Description = "Above 1 makes tokens that occurred less likely.", DefaultValueFactory = _ => 1, HelpName = "X" };
    private readonly Option<int?> seed = new("--seed") { Description = "The same seed draws the same tokens.", HelpName = "N" };

    /// <summary>Adds the options to a command.</summary>
    public void AddTo(Command command)
    {
        foreach (Option option in (Option[])[tokens, stops, temperature, topK, topP, minP, penalty, seed]) command.Add(option);
    }

    /// <summary>What was chosen.</summary>
    public Continuation Read(ParseResult parsed)
    {
        int most = parsed.GetValue(tokens);
        if (most < 1) throw new ArgumentException($"--max-tokens is {most}; at least 1 is needed.");
        return new()
        {
            MaxTokens = most,
            Stops = [.. parsed.GetValue(stops)!.Select(text => text.Replace("\\n", "\n", StringComparison.Ordinal)).Where(text => text.Length > 0)],
            Sampling = new Sampling
            {
                Temperature = parsed.GetValue(temperature),
                TopK = parsed.GetValue(topK),
                TopP = parsed.GetValue(topP),
                MinP = parsed.GetValue(minP),
                RepetitionPenalty = parsed.GetValue(penalty),
                Seed = parsed.GetValue(seed),
            }.Checked(),
        };
    }
}
