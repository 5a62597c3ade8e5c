using System.IO.Compression;
using System.Text;
using System.Text.Json;

namespace ReadTwice.Evaluation;

/// <summary>One line of a .jsonl file, which names its file, its number and the field in every complaint.</summary>
public sealed class JsonLine
{
    private readonly string place;
    private readonly JsonElement fields;

    private JsonLine(string place, JsonElement fields) => (this.place, this.fields) = (place, fields);

    /// <summary>The lines of a file, packed where its name ends in .gz; empty lines are passed over.</summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A line is no JSON object, or the packed file is damaged.</exception>
    public static IEnumerable<JsonLine> ReadAll(string path)
    {
        if (!File.Exists(path)) throw new FileNotFoundException($"{path} is not there; a .jsonl or .jsonl.gz file is needed.", path);
        return Lines(path);
    }

    /// <summary>A field that holds text.</summary>
    /// <exception cref="InvalidDataException">The field is missing or holds something else.</exception>
    public string Text(string name) => Value(name, Field(name));

    /// <summary>A field that holds text with something other than white space in it.</summary>
    /// <exception cref="InvalidDataException">The field is missing, empty, or holds something else.</exception>
    public string Words(string name)
    {
        string text = Text(name);
        return PythonText.Strip(text).Length > 0 ? text : throw Wrong($"field \"{name}\" is empty; text is needed.");
    }

    /// <summary>A field that holds a list of texts.</summary>
    /// <exception cref="InvalidDataException">The field is missing or holds something else.</exception>
    public IReadOnlyList<string> Texts(string name)
    {
        var list = Field(name);
        return list.ValueKind == JsonValueKind.Array
            ? [.. list.EnumerateArray().Select(item => Value(name, item))]
            : throw Wrong($"field \"{name}\" is {Kind(list)}; a list of texts is needed.");
    }

    /// <summary>The same with one text at least.</summary>
    /// <exception cref="InvalidDataException">The field is missing, an empty list, or holds something else.</exception>
    public IReadOnlyList<string> Answers(string name) => Texts(name) is { Count: > 0 } answers
        ? answers
        : throw Wrong($"field \"{name}\" is an empty list; one answer at least is needed.");

    /// <summary>A field that holds a whole number, or null where it is missing.</summary>
    /// <exception cref="InvalidDataException">The field holds something else.</exception>
    public int? NumberIfAny(string name)
    {
        if (!Has(name)) return null;
        var field = Field(name);
        return field.ValueKind == JsonValueKind.Number && field.TryGetInt32(out int number)
            ? number
            : throw Wrong($"field \"{name}\" is {Kind(field)}; a whole number is needed.");
    }

    /// <summary>Whether the line has a field, and it is not null.</summary>
    public bool Has(string name) => fields.TryGetProperty(name, out var field) && field.ValueKind != JsonValueKind.Null;

    /// <summary>A complaint about this line.</summary>
    public InvalidDataException Wrong(string what) => new($"{place}: {what}");

    private static IEnumerable<JsonLine> Lines(string path)
    {
        using var file = File.OpenRead(path);
        using Stream text = path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? new GZipStream(file, CompressionMode.Decompress) : file;
        using var reader = new StreamReader(text, new UTF8Encoding(false, throwOnInvalidBytes: true));
        for (int number = 1; ; number++)
        {
            string place = $"{path}, line {number}";
            if (Next(reader, place) is not { } line) yield break;
            if (line.Length > 0) yield return new JsonLine(place, Parse(line, place));
        }
    }

    private static string? Next(StreamReader reader, string place)
    {
        try
        {
            return reader.ReadLine();
        }
        catch (Exception e) when (e is DecoderFallbackException or InvalidDataException)
        {
            throw new InvalidDataException($"{place}: the file is damaged or not UTF-8 ({e.Message}); fetch it again.", e);
        }
    }

    private static JsonElement Parse(string line, string place)
    {
        try
        {
            var fields = JsonElement.Parse(line);
            return fields.ValueKind == JsonValueKind.Object
                ? fields
                : throw new InvalidDataException($"{place}: {Kind(fields)} was found; a JSON object is needed.");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{place}: no JSON object ({e.Message}); a .jsonl file holds one a line.", e);
        }
    }

    private JsonElement Field(string name) => Has(name)
        ? fields.GetProperty(name)
        : throw Wrong($"field \"{name}\" is missing; the line has {string.Join(", ", fields.EnumerateObject().Select(field => field.Name))}.");

    private string Value(string name, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.String) throw Wrong($"field \"{name}\" is or holds {Kind(value)}; text is needed.");
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw Wrong($"field \"{name}\" holds half a character (a lone surrogate); write it whole.");
        }
    }

    private static string Kind(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "a list",
        JsonValueKind.Number => "a number",
        JsonValueKind.String => "a text",
        JsonValueKind.Null => "null",
        _ => "true or false",
    };
}
