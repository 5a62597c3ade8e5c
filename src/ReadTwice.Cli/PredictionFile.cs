using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using ReadTwice.Evaluation;

namespace ReadTwice.Cli;

/// <summary>Predictions on disk, a JSON object a line as they are made, so that an evaluation that was stopped goes on.</summary>
internal sealed class PredictionFile : IDisposable
{
    private static readonly JsonSerializerOptions json = new(JsonSerializerDefaults.Web)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private readonly StreamWriter writer;
    private readonly Dictionary<(string Model, string Reading, int ContextLength, int Example), Line> done = [];

    /// <summary>Opens a file, and takes over what an evaluation of the same models and data left there.</summary>
    /// <param name="path">The file; null to keep nothing.</param>
    /// <param name="settings">What all predictions depend on but the model.</param>
    public PredictionFile(string? path, string settings)
    {
        Settings = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(settings)))[..16];
        if (path is not null && File.Exists(path))
            foreach (string text in File.ReadLines(path))
                if (Parse(text) is { } line && line.Settings == Settings) done[Key(line)] = line;
        writer = path is null ? StreamWriter.Null : new StreamWriter(path, append: false) { AutoFlush = true, NewLine = "\n" };
        foreach (var line in done.Values) Write(line);
    }

    /// <summary>A hash of the settings, as it stands in each line.</summary>
    public string Settings { get; }

    /// <summary>What is known of an example, or null where it was not predicted yet; the prediction of one that is left out is null.</summary>
    public Line? Find(string modelHash, Condition condition, int example) =>
        done.GetValueOrDefault((modelHash, condition.Name, condition.ContextLength, example));

    /// <summary>Notes a prediction; it is on disk when this returns.</summary>
    public Line Add(string modelHash, Condition condition, int example, Prediction? prediction)
    {
        var line = new Line(Settings, modelHash, condition.Name, condition.ContextLength, example, prediction);
        Write(line);
        return line;
    }

    /// <inheritdoc/>
    public void Dispose() => writer.Dispose();

    private void Write(Line line) => writer.WriteLine(JsonSerializer.Serialize(line, json));

    private static (string, string, int, int) Key(Line line) => (line.Model, line.Reading, line.ContextLength, line.Example);

    // The last line may be cut short where the program was killed.
    private static Line? Parse(string text)
    {
        try
        {
            return JsonSerializer.Deserialize<Line>(text, json);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>One line.</summary>
    internal sealed record Line(string Settings, string Model, string Reading, int ContextLength, int Example, Prediction? Prediction);
}
