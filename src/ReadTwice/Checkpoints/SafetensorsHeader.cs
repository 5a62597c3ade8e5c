using System.Text.Json;

namespace ReadTwice.Checkpoints;

/// <summary>What a safetensors file says it holds, checked against the bytes it has.</summary>
/// <remarks>The tensors' bytes are counted from the end of the header; they follow each other without gap or overlap.</remarks>
internal sealed class SafetensorsHeader
{
    /// <summary>The length of the header stands in the first bytes.</summary>
    public const int LengthBytes = sizeof(ulong);

    /// <summary>The format's own limit.</summary>
    public const int LargestHeader = 100_000_000;

    /// <summary>The key that holds no tensor.</summary>
    public const string MetadataKey = "__metadata__";

    private static readonly Dictionary<string, StoredType> types = Enum.GetValues<StoredType>().ToDictionary(NameOf);

    private readonly string file;
    private readonly long dataLength;
    private readonly Dictionary<string, string> metadata = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Entry> tensors = new(StringComparer.Ordinal);

    /// <summary>Reads the header's JSON; dataLength is the number of bytes behind it.</summary>
    /// <exception cref="InvalidDataException">It is not a header, or claims what the file does not have.</exception>
    public SafetensorsHeader(string file, ReadOnlySpan<byte> json, long dataLength)
    {
        (this.file, this.dataLength) = (file, dataLength);
        try
        {
            var root = JsonElement.Parse(json);
            if (root.ValueKind != JsonValueKind.Object) throw Bad("the header is not a JSON object; download the file again");
            foreach (var property in root.EnumerateObject())
            {
                if (property.Name == MetadataKey) ReadMetadata(property.Value);
                else if (!tensors.TryAdd(property.Name, ReadEntry(property.Name, property.Value)))
                    throw Bad(property.Name, "stands twice in the header; a name is needed for one tensor");
            }
        }
        catch (Exception broken) when (broken is JsonException or InvalidOperationException)
        {
            throw new InvalidDataException(
                $"{file}: the header is not valid JSON; download the file again. {OneLine.Of(broken.Message)}", broken);
        }
        RequireNoGaps();
    }

    /// <summary>Texts that the writer added.</summary>
    public IReadOnlyDictionary<string, string> Metadata => metadata;

    /// <summary>The tensors by name.</summary>
    public IReadOnlyDictionary<string, Entry> Tensors => tensors;

    /// <summary>How the format calls a type.</summary>
    public static string NameOf(StoredType type) => type.ToString().ToUpperInvariant();

    /// <summary>The header's length, as a number that fits the file of this length.</summary>
    /// <exception cref="InvalidDataException">It does not.</exception>
    public static int RequireLength(string file, ulong headerLength, long fileLength)
    {
        if (headerLength > (ulong)(fileLength - LengthBytes))
            throw new InvalidDataException(
                $"{file}: as a safetensors file its header would have {headerLength} bytes, but the whole file has {fileLength}; it is " +
                "cut short or of another format. Download it again.");
        if (headerLength > LargestHeader)
            throw new InvalidDataException($"{file}: the header has {headerLength} bytes; safetensors allows {LargestHeader}.");
        return (int)headerLength;
    }

    private void ReadMetadata(JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.Null) return;
        if (value.ValueKind != JsonValueKind.Object) throw Bad(MetadataKey, "is not an object; texts by name are needed");
        foreach (var property in value.EnumerateObject())
            metadata[property.Name] = property.Value.ValueKind == JsonValueKind.String
                ? property.Value.GetString()!
                : throw Bad(MetadataKey, $"gives {OneLine.Of(property.Name)} as no text; texts by name are needed");
    }

    private Entry ReadEntry(string name, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Object)
            throw Bad(name, "is not an object; dtype, shape and data_offsets are needed");
        if (!value.TryGetProperty("dtype", out var dtype) || dtype.ValueKind != JsonValueKind.String)
            throw Bad(name, "has no dtype; a text like \"F32\" is needed");
        if (!types.TryGetValue(dtype.GetString()!, out var type))
            throw Bad(name, $"holds {OneLine.Of(dtype.GetString()!)}, which is not known. Known: {string.Join(", ", types.Keys)}");
        long[] shape = Numbers(name, value, "shape"), offsets = Numbers(name, value, "data_offsets");
        if (shape.Length > TensorLayout.MostAxes)
            throw Bad(name, $"has {shape.Length} axes; at most {TensorLayout.MostAxes} are possible");
        if (offsets.Length != 2) throw Bad(name, $"has {offsets.Length} data_offsets; begin and end are needed");
        var (begin, end) = (offsets[0], offsets[1]);
        if (end < begin) throw Bad(name, $"ends at byte {end}, before it begins at {begin}; download the file again");
        if (end > dataLength)
            throw Bad(name, $"ends at byte {end} of the data, of which the file has {dataLength}; it is cut short, download it again");
        if (TensorLayout.Count(shape) is not { } count)
            throw Bad(name, $"is {TensorLayout.Show(shape)}, more than any file can hold");
        if (count * type.Size() != end - begin)
            throw Bad(name, $"has {end - begin} bytes; {NameOf(type)} {TensorLayout.Show(shape)} needs {count * type.Size()}");
        return new(type, shape, begin, end);
    }

    private long[] Numbers(string name, JsonElement entry, string key)
    {
        if (!entry.TryGetProperty(key, out var value) || value.ValueKind != JsonValueKind.Array)
            throw Bad(name, $"has no {key}; a list of whole numbers is needed");
        return [.. value.EnumerateArray().Select(item =>
            item.ValueKind == JsonValueKind.Number && item.TryGetInt64(out long number) && number >= 0
                ? number
                : throw Bad(name, $"has {OneLine.Of(item.GetRawText())} in its {key}; whole numbers from 0 are needed"))];
    }

    private void RequireNoGaps()
    {
        long reached = 0;
        string before = "";
        foreach (var (name, entry) in tensors.OrderBy(tensor => tensor.Value.Begin).ThenBy(tensor => tensor.Value.End))
        {
            if (entry.Begin < reached)
                throw Bad(name, $"begins at byte {entry.Begin}, inside {OneLine.Of(before)}, which ends at {reached}; download it again");
            if (entry.Begin > reached)
                throw Bad(name, $"begins at byte {entry.Begin}; the tensors before it end at {reached}. Download the file again");
            (reached, before) = (entry.End, name);
        }
        if (reached != dataLength)
            throw Bad($"the tensors end at byte {reached} of the data, of which the file has {dataLength}; download it again");
    }

    private InvalidDataException Bad(string what) => new($"{file}: {what}.");

    private InvalidDataException Bad(string name, string what) => Bad($"{OneLine.Of(name)} {what}");

    /// <summary>A tensor: its type, its shape and where its bytes begin and end.</summary>
    public readonly record struct Entry(StoredType Type, long[] Shape, long Begin, long End);
}
