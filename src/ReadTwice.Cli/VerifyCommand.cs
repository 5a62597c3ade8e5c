using System.CommandLine;
using ReadTwice.Verification;
using Spectre.Console;

namespace ReadTwice.Cli;

/// <summary>jrt verify: does a checkpoint give what the authors' code gives?</summary>
internal static class VerifyCommand
{
    public static Command Make(Terminal terminal)
    {
        var fixtures = new Argument<string[]>("FIXTURE")
        {
            Description = "Folders with config.json, weights, input_ids.json and expected.safetensors; the same of a single layer, without input_ids.json; or an operator's file of inputs, outputs and gradients.",
            Arity = ArgumentArity.OneOrMore,
        };
        var json = JsonOption.Make();
        var command = new Command("verify", "Compares checkpoints and operators with what their authors' code computed: logits, states, greedy tokens, gradients.") { fixtures, json };
        command.SetAction(parsed => Run(terminal, parsed.GetValue(fixtures)!, parsed.GetValue(json)));
        return command;
    }

    private static int Run(Terminal terminal, string[] fixtures, bool json)
    {
        bool all = true;
        foreach (string fixture in fixtures)
        {
            IReadOnlyList<Comparison> results;
            string? problem = null;
            try
            {
                results = Fixtures.Run(fixture);
            }
            catch (Exception e) when (Jrt.IsExpected(e))
            {
                (results, problem) = ([], Jrt.OneLine(e.Message));
            }
            bool passed = problem is null && results.Count > 0 && results.All(result => result.Passed);
            all &= passed;
            if (json) terminal.WriteJson(new { fixture, passed, problem, results });
            else Print(terminal, fixture, passed, problem, results);
        }
        return all ? 0 : 1;
    }

    private static void Print(Terminal terminal, string fixture, bool passed, string? problem, IReadOnlyList<Comparison> results)
    {
        terminal.Out.WriteLine($"{fixture}: {(passed ? "passed" : "FAILED")}{(problem is null ? "" : " " + problem)}");
        if (results.Count == 0) return;
        var table = new Table().AddColumns("case", "compared", "largest difference", "tolerance", "");
        foreach (var result in results)
            table.AddRow(Markup.Escape(result.Case), Markup.Escape(result.What), $"{result.Difference:0.0e+0}", $"{result.Tolerance:0.0e+0}",
                Markup.Escape(result.Passed ? "ok" : result.Problem ?? "over the tolerance"));
        terminal.WriteTable(table);
    }
}
