using System.Text.Json;

namespace ReadTwice.Cli.Plots;

/// <summary>Training logs: how loss and right answers change over the updates.</summary>
internal static class TrainingPlot
{
    // More points than these lie closer than a line is wide.
    private const int MostPoints = 150;

    /// <summary>One line a log, and one more where a validation was made.</summary>
    public static Figure Of(IReadOnlyList<(string Name, IReadOnlyList<JsonElement> Lines)> logs)
    {
        List<Line> losses = [], answers = [];
        foreach (var (name, lines) in logs)
        {
            // A run that was killed writes the updates after its last checkpoint again.
            var updates = lines.GroupBy(line => Number(line, "step")).OrderBy(step => step.Key).Select(step => step.Last()).ToList();
            Add(losses, name, updates, line => Number(line, "next"));
            Add(answers, name, updates, line => 100 * Number(line, "answers_right"));
            var validated = updates.Where(line => line.TryGetProperty("validation", out _)).ToList();
            if (validated.Count == 0) continue;
            Add(losses, $"{name}, validation", validated, line => Number(line.GetProperty("validation"), "next"));
            Add(answers, $"{name}, validation", validated, line => 100 * Number(line.GetProperty("validation"), "answers_right"));
        }
        var loss = new Panel("Loss of the next tokens", "updates", "nats a token", losses);
        return answers.SelectMany(line => line.Y).Any(right => right > 0)
            ? new(loss, new Panel("Tokens of answers that are likeliest", "updates", "%", answers))
            : new(loss);
    }

    // Neighbouring updates are averaged: single batches differ more than the run changes.
    private static void Add(List<Line> lines, string name, List<JsonElement> updates, Func<JsonElement, double> value)
    {
        int together = (updates.Count + MostPoints - 1) / MostPoints;
        var points = updates.Chunk(together).Select(part => (X: part.Average(line => Number(line, "step")), Y: part.Average(value))).ToList();
        lines.Add(new(name, [.. points.Select(point => point.X)], [.. points.Select(point => point.Y)]));
    }

    // A loss that is no number is written as a word.
    private static double Number(JsonElement line, string name) =>
        line.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : double.NaN;
}
