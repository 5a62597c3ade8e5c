using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace ReadTwice.Checkpoints;

/// <summary>A config.json, read key by key; what does not fit is an error that names the key.</summary>
/// <remarks>
/// A key whose value is null counts as absent. Every method throws <see cref="InvalidDataException"/>, in one line, where a value is
/// of another kind than asked for, and where a key without a value to take otherwise is absent.
/// Python writes infinite numbers as bare words, newer configs as {"__float__": "Infinity"}: both are read.
/// </remarks>
public sealed partial class ConfigJson
{
    private const long LargestFile = 256 << 20;
    private const string Wrapped = "__float__";

    private readonly SortedDictionary<string, JsonElement> values = new(StringComparer.Ordinal);
    private readonly string path;

    private ConfigJson(string source, string path, JsonElement content)
    {
        (Source, this.path) = (source, path);
        foreach (var property in content.EnumerateObject()) values[property.Name] = property.Value;
    }

    /// <summary>The name of the file, for messages.</summary>
    public string Source { get; }

    /// <summary>The keys that have a value, in ordinal order.</summary>
    public IEnumerable<string> Keys => values.Keys.Where(Has);

    /// <summary>Reads a file.</summary>
    /// <exception cref="FileNotFoundException">There is none.</exception>
    /// <exception cref="InvalidDataException">It is not a JSON object.</exception>
    public static ConfigJson Load(string path)
    {
        var file = new FileInfo(path);
        if (!file.Exists) throw new FileNotFoundException($"{path} does not exist; a JSON file is needed.", path);
        if (file.Length > LargestFile)
            throw new InvalidDataException($"{file.Name}: the file has {file.Length} bytes; a config has at most {LargestFile}.");
        return Parse(File.ReadAllText(path), path);
    }

    /// <summary>Reads a text; the source is the path or name of the file that messages speak of.</summary>
    /// <exception cref="InvalidDataException">It is not a JSON object.</exception>
    public static ConfigJson Parse(string text, string source)
    {
        string name = Path.GetFileName(source);
        try
        {
            // First with stand-ins of the same length, so that an error's column is the one in the file.
            JsonElement.Parse(ReplaceBareWords(text, word => "0".PadRight(word.Length)));
            var root = JsonElement.Parse(ReplaceBareWords(text, word => $"{{\"{Wrapped}\":\"{word}\"}}"));
            if (root.ValueKind != JsonValueKind.Object || BareWord(root) is not null)
                throw new InvalidDataException($"{name}: the file holds {Show(root)}; an object in braces is needed.");
            var config = new ConfigJson(name, "", root);
            _ = config.ToString();
            return config;
        }
        catch (JsonException broken)
        {
            int end = broken.Message.IndexOf(" LineNumber:", StringComparison.Ordinal);
            throw new InvalidDataException(
                $"{name}: line {broken.LineNumber + 1}, column {broken.BytePositionInLine + 1} is not valid JSON; correct it or " +
                $"download the file again. {OneLine.Of(end < 0 ? broken.Message : broken.Message[..end])}", broken);
        }
        catch (Exception broken) when (broken is InvalidOperationException or ArgumentException)
        {
            // What JsonElement throws for half a surrogate pair, which no UTF-8 text can hold.
            throw new InvalidDataException($"{name}: the file holds half a character (a lone surrogate); valid Unicode is needed.", broken);
        }
    }

    /// <summary>Whether a key has a value.</summary>
    public bool Has(string key) => Find(key) is not null;

    /// <summary>Whether a key is there with the value null, where that says something else than the key's absence.</summary>
    public bool IsNull(string key) => values.TryGetValue(key, out var value) && value.ValueKind == JsonValueKind.Null;

    /// <summary>Whether a key's value is a text, where a config may give a number or a word.</summary>
    public bool IsString(string key) => Find(key) is { ValueKind: JsonValueKind.String };

    /// <summary>A text.</summary>
    public string String(string key) => AsString(Need(key, "a text"), Where(key));

    /// <summary>A text, or another where the key is absent.</summary>
    public string String(string key, string otherwise) => Find(key) is { } value ? AsString(value, Where(key)) : otherwise;

    /// <summary>A whole number.</summary>
    public long Long(string key) => AsLong(Need(key, "a whole number"), Where(key));

    /// <summary>A whole number, or another where the key is absent.</summary>
    public long Long(string key, long otherwise) => Find(key) is { } value ? AsLong(value, Where(key)) : otherwise;

    /// <summary>A whole number of one or more: how many there are of something, or how wide it is.</summary>
    public long Size(string key) => AtLeastOne(Long(key), key);

    /// <summary>A whole number of one or more, or another, which must be so too, where the key is absent.</summary>
    public long Size(string key, long otherwise) => AtLeastOne(Long(key, otherwise), key);

    /// <summary>A number, perhaps infinite, never NaN.</summary>
    public double Double(string key) => AsDouble(Need(key, "a number"), Where(key));

    /// <summary>A number, perhaps infinite, never NaN, or another where the key is absent.</summary>
    public double Double(string key, double otherwise) => Find(key) is { } value ? AsDouble(value, Where(key)) : otherwise;

    /// <summary>True or false, or another where the key is absent.</summary>
    public bool Bool(string key, bool otherwise) => Find(key) switch
    {
        null => otherwise,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        { } value => throw Wrong(Where(key), value, "true or false"),
    };

    /// <summary>An object within, or null where the key is absent.</summary>
    public ConfigJson? Object(string key)
    {
        if (Find(key) is not { } value) return null;
        if (value.ValueKind != JsonValueKind.Object || BareWord(value) is not null)
            throw Wrong(Where(key), value, "an object in braces");
        return new(Source, $"{path}{key}.", value);
    }

    /// <summary>A list of objects, or null where the key is absent; an object that stands alone is a list of one.</summary>
    public IReadOnlyList<ConfigJson>? Objects(string key) => Find(key) is { ValueKind: JsonValueKind.Object }
        ? [Object(key)!]
        : List(key, "an object in braces, or a list of such,", (item, where) => item.ValueKind == JsonValueKind.Object && BareWord(item) is null
            ? new ConfigJson(Source, $"{where[(Source.Length + 2)..]}.", item)
            : throw Wrong(where, item, "an object in braces"));

    /// <summary>A list of whole numbers, or null where the key is absent.</summary>
    public IReadOnlyList<long>? Longs(string key) => List(key, "a list of whole numbers", AsLong);

    /// <summary>A list of numbers, or null where the key is absent.</summary>
    public IReadOnlyList<double>? Doubles(string key) => List(key, "a list of numbers", AsDouble);

    /// <summary>A list of texts, or null where the key is absent.</summary>
    public IReadOnlyList<string>? Strings(string key) => List(key, "a list of texts", AsString);

    /// <summary>File and key, for messages: config.json: alt_mixer.feature_dim.</summary>
    public string Where(string key) => $"{Source}: {path}{OneLine.Of(key)}";

    /// <summary>The content without white space, its keys in ordinal order: equal for configs that say the same.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        Write(text, values);
        return text.ToString();
    }

    private long AtLeastOne(long size, string key) =>
        size >= 1 ? size : throw new InvalidDataException($"{Where(key)} is {size}; a whole number of 1 or more is needed.");

    private static string ReplaceBareWords(string text, Func<string, string> replacement) =>
        StringOrBareWord().Replace(text, match => match.Value[0] == '"' ? match.Value : replacement(match.Value));

    [GeneratedRegex("""
        "(?>[^"\\]|\\.)*"|(?<![\w.+-])(?:-?Infinity|NaN)(?!\w)
        """, RegexOptions.Singleline)]
    private static partial Regex StringOrBareWord();

    private static string? BareWord(JsonElement value) =>
        value.ValueKind == JsonValueKind.Object && value.GetPropertyCount() == 1 && value.TryGetProperty(Wrapped, out var word) &&
        word.ValueKind == JsonValueKind.String && word.GetString() is "Infinity" or "-Infinity" or "NaN"
            ? value.GetProperty(Wrapped).GetString() : null;

    private static string AsString(JsonElement value, string where) =>
        value.ValueKind == JsonValueKind.String ? value.GetString()! : throw Wrong(where, value, "a text");

    private static long AsLong(JsonElement value, string where)
    {
        if (value.ValueKind != JsonValueKind.Number) throw Wrong(where, value, "a whole number");
        if (value.TryGetInt64(out long whole)) return whole;
        double number = value.GetDouble();
        if (!double.IsInteger(number) && double.IsFinite(number)) throw Wrong(where, value, "a whole number");
        return Math.Abs(number) < -(double)long.MinValue ? (long)number : throw Wrong(where, value, "a whole number that fits 64 bits");
    }

    private static double AsDouble(JsonElement value, string where)
    {
        if (BareWord(value) is { } word && word != "NaN") return word == "Infinity" ? double.PositiveInfinity : double.NegativeInfinity;
        if (value.ValueKind != JsonValueKind.Number) throw Wrong(where, value, "a number");
        double number = value.GetDouble();
        return double.IsFinite(number) ? number : throw Wrong(where, value, "a number that fits 64 bits, or Infinity,");
    }

    private static InvalidDataException Wrong(string where, JsonElement value, string need) =>
        new($"{where} is {Show(value)}; {need} is needed.");

    private static string Show(JsonElement value)
    {
        var text = new StringBuilder();
        Write(text, value);
        return OneLine.Of(text.ToString());
    }

    private static void Write(StringBuilder text, JsonElement value)
    {
        if (BareWord(value) is { } word) text.Append(word);
        else if (value.ValueKind == JsonValueKind.Object) Write(text, new ConfigJson("", "", value).values);
        else if (value.ValueKind == JsonValueKind.Array)
        {
            text.Append('[');
            foreach (var item in value.EnumerateArray())
            {
                if (text[^1] != '[') text.Append(',');
                Write(text, item);
            }
            text.Append(']');
        }
        else if (value.ValueKind == JsonValueKind.String) text.Append('"').Append(JsonEncodedText.Encode(value.GetString()!)).Append('"');
        else text.Append(value.GetRawText());
    }

    private static void Write(StringBuilder text, SortedDictionary<string, JsonElement> values)
    {
        text.Append('{');
        foreach (var (key, value) in values)
        {
            if (text[^1] != '{') text.Append(',');
            text.Append('"').Append(JsonEncodedText.Encode(key)).Append("\":");
            Write(text, value);
        }
        text.Append('}');
    }

    private JsonElement? Find(string key) =>
        values.TryGetValue(key, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private JsonElement Need(string key, string need) =>
        Find(key) ?? throw new InvalidDataException($"{Where(key)} is missing; {need} is needed.");

    private T[]? List<T>(string key, string need, Func<JsonElement, string, T> read)
    {
        if (Find(key) is not { } value) return null;
        if (value.ValueKind != JsonValueKind.Array) throw Wrong(Where(key), value, need);
        return [.. value.EnumerateArray().Select((item, i) => read(item, $"{Where(key)}[{i}]"))];
    }
}
