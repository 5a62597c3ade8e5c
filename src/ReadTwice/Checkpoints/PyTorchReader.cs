using System.Buffers.Binary;

namespace ReadTwice.Checkpoints;

/// <summary>Finds the tensors of a file of torch.save where they lie.</summary>
/// <remarks>
/// A file is a zip of a pickle and the storages it speaks of or, from before PyTorch 1.6, several pickles and storages in a row.
/// </remarks>
internal sealed unsafe class PyTorchReader
{
    /// <summary>What to do about a file that holds more than tensors.</summary>
    public const string SaveAgain = "Save it again as torch.save(model.state_dict(), path), or convert it to safetensors";

    private const long LegacyVersion = 1001;
    private const string Pickle = "data.pkl";

    // Keys under which trainers put the model beside their own state.
    private static readonly string[] nested = ["state_dict", "model"];

    private readonly MappedFile file;
    private readonly Dictionary<string, (long Offset, long Length)> storages = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Key, int ElementSize), nint> aligned = [];

    private PyTorchReader(MappedFile file) => this.file = file;

    /// <summary>The first instruction of the older format: a number of ten bytes, after two that give the protocol.</summary>
    public static ReadOnlySpan<byte> LegacyMagic => [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

    /// <summary>Reads a zip file.</summary>
    /// <exception cref="InvalidDataException">It is damaged or holds more than tensors; the message says what was found.</exception>
    public static IEnumerable<StoredTensor> ReadZip(MappedFile file)
    {
        var reader = new PyTorchReader(file);
        return reader.Tensors(reader.ZipRoot());
    }

    /// <summary>Reads a file of the older format, which begins with <see cref="LegacyMagic"/>.</summary>
    /// <exception cref="InvalidDataException">It is damaged or holds more than tensors; the message says what was found.</exception>
    public static IEnumerable<StoredTensor> ReadLegacy(MappedFile file)
    {
        var reader = new PyTorchReader(file);
        return reader.Tensors(reader.LegacyRoot());
    }

    private object? ZipRoot()
    {
        var entries = new ZipEntries(file).Files;
        string[] pickles = [.. entries.Keys.Where(name => name == Pickle || name.EndsWith("/" + Pickle, StringComparison.Ordinal))];
        if (pickles.Length != 1)
            throw file.Bad($"the zip has {pickles.Length} entries {Pickle}; a file of torch.save has one, download it again");
        string stem = pickles[0][..^Pickle.Length];
        if (entries.TryGetValue($"{stem}byteorder", out var order) &&
            !file.Span(order.Offset, (int)Math.Min(order.Length, 6)).SequenceEqual("little"u8))
            throw file.Bad("the numbers are big-endian; save the file again on a little-endian machine");
        string data = $"{stem}data/";
        foreach (var (name, place) in entries)
            if (name.StartsWith(data, StringComparison.Ordinal)) storages.Add(name[data.Length..], place);
        var (offset, length) = entries[pickles[0]];
        if (length > PickleReader.Largest)
            throw file.Bad($"{Pickle} has {length} bytes; at most {PickleReader.Largest} are read");
        return new PickleReader(file.Name, file.Span(offset, (int)length)).Read();
    }

    private object? LegacyRoot()
    {
        long position = 0;
        Next(ref position);
        if (Next(ref position).Root is not LegacyVersion)
            throw file.Bad($"the file is of no version of torch.save that is known; {LegacyVersion} is needed");
        if (Next(ref position).Root is PickleDictionary system && system.Find("little_endian") is false)
            throw file.Bad("the numbers are big-endian; save the file again on a little-endian machine");
        var (root, types) = Next(ref position);
        if (Next(ref position).Root is not List<object?> keys)
            throw file.Bad("the list of storages is missing; download the file again");
        foreach (object? key in keys)
        {
            if (key is not string name || !types.TryGetValue(name, out var storage))
                throw file.Bad("a storage belongs to no tensor; download the file again");
            if (position > file.Length - sizeof(long)) throw CutShort(name);
            Int128 length = BinaryPrimitives.ReadInt64LittleEndian(file.Span(position, sizeof(long))) * (Int128)storage.ElementSize;
            position += sizeof(long);
            if (length < 0 || length > file.Length - position) throw CutShort(name);
            if (!storages.TryAdd(name, (position, (long)length)))
                throw file.Bad($"storage {OneLine.Of(name)} comes twice; download the file again");
            position += (long)length;
        }
        return root;
    }

    private (object? Root, Dictionary<string, PickleStorage> Storages) Next(ref long position)
    {
        var reader = new PickleReader(file.Name, file.Span(position, (int)Math.Min(file.Length - position, PickleReader.Largest)));
        object? root = reader.Read();
        position += reader.Position;
        return (root, reader.Storages);
    }

    private List<StoredTensor> Tensors(object? root)
    {
        if (root is not PickleDictionary top) throw file.Bad($"the file holds no dictionary of tensors. {SaveAgain}");
        var state = new[] { top }.Concat(nested.Select(top.Find).OfType<PickleDictionary>()).FirstOrDefault(HoldsTensors);
        if (state is null)
            throw file.Bad($"the file holds no tensors, neither directly nor as {string.Join(" or ", nested)}. {SaveAgain}");
        var tensors = new Dictionary<string, PickleTensor>(StringComparer.Ordinal);
        foreach (var (key, value) in state.Items)
            if (key is string name && value is PickleTensor tensor) tensors[name] = tensor;
        return [.. tensors.Select(tensor => Map(tensor.Key, tensor.Value))];
    }

    private static bool HoldsTensors(PickleDictionary dictionary) => dictionary.Items.Any(item => item is (string, PickleTensor));

    private StoredTensor Map(string name, PickleTensor tensor)
    {
        var (key, size) = (tensor.Storage.Key, tensor.Type.Size());
        var (shape, strides) = (TensorLayout.Show(tensor.Shape), TensorLayout.Show(tensor.Strides));
        if (!storages.TryGetValue(key, out var place))
            throw Bad(name, $"is in storage {OneLine.Of(key)}, which the file does not have; download it again");
        if (tensor.Storage.Length > place.Length / tensor.Storage.ElementSize)
            throw Bad(name, $"is in storage {OneLine.Of(key)} of {tensor.Storage.Length} elements; the file has {place.Length} bytes of " +
                "it, download it again");
        if (tensor.Shape.Length != tensor.Strides.Length)
            throw Bad(name, $"has {tensor.Shape.Length} sizes and {tensor.Strides.Length} strides; as many are needed");
        // A stride of 0 repeats elements; a few bytes could so claim to be a tensor that fills the memory of any machine.
        if (TensorLayout.Count(tensor.Shape) is not { } count || count > file.Length / size)
            throw Bad(name, $"is {shape}, more than the whole file could hold; download it again");
        long last = tensor.Storage.Length * tensor.Storage.ElementSize / size;
        if (TensorLayout.Span(tensor.Shape, tensor.Strides) is not { } span || tensor.Offset < 0 || tensor.Offset > last - span)
            throw Bad(name, $"begins at element {tensor.Offset} of storage {OneLine.Of(key)} and, as {shape} with strides {strides}, " +
                $"ends beyond the {last} that it has; download the file again");
        return new(name, file.Name, tensor.Type, tensor.Shape, tensor.Strides, Start(key, place, size) + tensor.Offset * size);
    }

    private byte* Start(string key, (long Offset, long Length) place, int size)
    {
        if (!aligned.TryGetValue((key, size), out nint start))
            aligned[(key, size)] = start = (nint)file.Aligned(place.Offset, place.Length, size);
        return (byte*)start;
    }

    private InvalidDataException CutShort(string storage) =>
        file.Bad($"the file ends within storage {OneLine.Of(storage)}; it is cut short, download it again");

    private InvalidDataException Bad(string name, string what) => file.Bad($"{OneLine.Of(name)} {what}");
}
