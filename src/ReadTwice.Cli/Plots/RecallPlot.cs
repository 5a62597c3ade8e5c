using System.Text.Json;
using ReadTwice.Evaluation;

namespace ReadTwice.Cli.Plots;

/// <summary>Results of jrt eval: recall against the size of the state, and against the length of the context.</summary>
internal static class RecallPlot
{
    /// <summary>A line for each model and reading, with 95 % intervals.</summary>
    /// <exception cref="InvalidDataException">There is no result.</exception>
    public static Figure Of(IEnumerable<JsonElement> results)
    {
        var rows = results.Select(Row.Of).ToList();
        if (rows.Count == 0) throw new InvalidDataException("there are no results in it; an evaluation that was finished is needed.");
        string task = string.Join(", ", rows.Select(row => row.Task).Distinct());
        int longest = rows.Max(row => row.Context);
        var lines = rows.GroupBy(row => $"{row.Model}, {row.Reading}").ToList();
        var bytes = rows.Where(row => row.Context == longest).Select(row => new Line($"{row.Model}, {row.Reading}", [row.StateBytes], [row.Score], [row.Error]));
        var contexts = lines.Select(line => (line.Key, Rows: line.OrderBy(row => row.Context).ToList()))
            .Select(line => new Line(line.Key, [.. line.Rows.Select(row => (double)row.Context)], [.. line.Rows.Select(row => row.Score)], [.. line.Rows.Select(row => row.Error)]));
        var state = new Panel($"Recall on {task}, {longest:N0} tokens", "bytes of state", "answers found, %", [.. bytes]) { LogX = true, Dodges = true };
        return rows.All(row => row.Context == longest)
            ? new(state)
            : new(state, new Panel($"Recall on {task}", "tokens of document and answer", "answers found, %", [.. contexts]) { LogX = true, Dodges = true });
    }

    /// <summary>One result; the state is that after the prompt where it grows with what is read.</summary>
    private sealed record Row(string Task, string Model, string Reading, int Context, double Score, double Error, double StateBytes)
    {
        public static Row Of(JsonElement result)
        {
            string reading = result.GetProperty("reading").GetString()!;
            int context = result.GetProperty("context").GetInt32();
            int copies = Condition.Named(reading, context).Reading.Times;
            return new(
                result.GetProperty("task").GetString()!, result.GetProperty("model").GetString()!, reading, context, result.GetProperty("score").GetDouble(),
                (result.GetProperty("high").GetDouble() - result.GetProperty("low").GetDouble()) / 2,
                result.GetProperty("state_bytes").GetDouble() + result.GetProperty("state_bytes_per_token").GetDouble() * copies * context);
        }
    }
}
