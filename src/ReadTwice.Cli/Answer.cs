using System.Diagnostics;
using System.Text;

namespace ReadTwice.Cli;

/// <summary>A continuation that was written, and how fast.</summary>
/// <param name="Text">All of it.</param>
/// <param name="Tokens">Tokens that were chosen.</param>
/// <param name="SecondsToFirst">From the call to the first token.</param>
/// <param name="TokensPerSecond">Of those after the first; 0 where there was one.</param>
internal sealed record Answer(string Text, int Tokens, double SecondsToFirst, double TokensPerSecond)
{
    /// <summary>Writes on from a state, showing the text as it comes if asked to.</summary>
    public static Answer Write(
        Terminal terminal, Generator generator, RecurrentState state, Continuation continuation, IEnumerable<int> seen, bool echo, CancellationToken cancel)
    {
        var text = new StringBuilder();
        var clock = Stopwatch.StartNew();
        double first = 0;
        int tokens = 0;
        foreach (var written in generator.Continue(state, continuation, seen, cancel))
        {
            if (tokens++ == 0) first = clock.Elapsed.TotalSeconds;
            text.Append(written.Text);
            if (echo) terminal.Out.Write(written.Text);
        }
        if (echo) terminal.Out.WriteLine();
        double rest = clock.Elapsed.TotalSeconds - first;
        return new(text.ToString(), tokens, first, tokens > 1 ? (tokens - 1) / rest : 0);
    }
}
