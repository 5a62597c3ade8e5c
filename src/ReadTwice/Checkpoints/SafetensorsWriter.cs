using System.Text.Json;

namespace ReadTwice.Checkpoints;

/// <summary>Gives a part of a tensor's bytes, little-endian; called for one part after the other, from first to last.</summary>
/// <param name="offset">Where the part begins.</param>
/// <param name="length">How many bytes it has.</param>
public delegate ReadOnlySpan<byte> BytesAt(long offset, int length);

/// <summary>A tensor to be written, its bytes wherever they lie.</summary>
/// <param name="Name">Its name in the file.</param>
/// <param name="Type">What its numbers are.</param>
/// <param name="Shape">The size of each axis.</param>
/// <param name="Bytes">Its elements one after the other, the last axis running fastest.</param>
public sealed record TensorToWrite(string Name, StoredType Type, IReadOnlyList<long> Shape, BytesAt Bytes)
{
    /// <summary>A tensor whose bytes are in memory already.</summary>
    public TensorToWrite(string name, StoredType type, IReadOnlyList<long> shape, ReadOnlyMemory<byte> bytes)
        : this(name, type, shape, (offset, length) => bytes.Span.Slice((int)offset, length))
    {
        if (bytes.Length != ByteLength)
            throw new ArgumentException(
                $"{name} holds {bytes.Length} bytes; {type} {TensorLayout.Show(shape)} needs {ByteLength}.", nameof(bytes));
    }

    /// <summary>How many bytes it has.</summary>
    public long ByteLength => TensorLayout.Count(Shape) is { } count
        ? count * Type.Size()
        : throw new ArgumentException($"{Name} is {TensorLayout.Show(Shape)}; sizes from 0 that memory can hold are needed.");
}

/// <summary>Writes safetensors files: equal tensors in equal order give equal bytes.</summary>
public static class SafetensorsWriter
{
    private const int Alignment = 8;
    private const int Part = 1 << 24;

    /// <summary>Writes a whole file, from where the destination stands.</summary>
    /// <remarks>
    /// The first tensor's bytes begin at a multiple of 8, the others where the one before ends: the format has no gaps. Give wide
    /// types first, and a reader can use all of them where they lie.
    /// </remarks>
    /// <param name="destination">Takes the bytes; need not seek.</param>
    /// <param name="metadata">Texts for the header; written in ordinal order.</param>
    /// <param name="tensors">In the order in which their bytes are written.</param>
    /// <exception cref="ArgumentException">Two tensors have one name, or a shape and its bytes do not fit.</exception>
    public static void Write(Stream destination, IReadOnlyDictionary<string, string>? metadata, IReadOnlyList<TensorToWrite> tensors)
    {
        byte[] header = Header(metadata, tensors);
        Span<byte> length = stackalloc byte[SafetensorsHeader.LengthBytes];
        System.Buffers.Binary.BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        destination.Write(length);
        destination.Write(header);
        foreach (var tensor in tensors) Write(destination, tensor);
    }

    private static byte[] Header(IReadOnlyDictionary<string, string>? metadata, IReadOnlyList<TensorToWrite> tensors)
    {
        var names = new HashSet<string>(StringComparer.Ordinal) { SafetensorsHeader.MetadataKey };
        using var memory = new MemoryStream();
        using (var json = new Utf8JsonWriter(memory))
        {
            json.WriteStartObject();
            if (metadata is not null) Write(json, metadata);
            long end = 0;
            foreach (var tensor in tensors)
            {
                if (!names.Add(tensor.Name))
                    throw new ArgumentException($"{tensor.Name} is given twice or reserved; each tensor needs a name of its own.");
                Write(json, tensor, end, end += tensor.ByteLength);
            }
            json.WriteEndObject();
        }
        while (memory.Length % Alignment != 0) memory.WriteByte((byte)' ');
        return memory.ToArray();
    }

    private static void Write(Utf8JsonWriter json, IReadOnlyDictionary<string, string> metadata)
    {
        json.WriteStartObject(SafetensorsHeader.MetadataKey);
        foreach (var (key, text) in metadata.OrderBy(entry => entry.Key, StringComparer.Ordinal)) json.WriteString(key, text);
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, TensorToWrite tensor, long begin, long end)
    {
        json.WriteStartObject(tensor.Name);
        json.WriteString("dtype", SafetensorsHeader.NameOf(tensor.Type));
        json.WriteStartArray("shape");
        foreach (long size in tensor.Shape) json.WriteNumberValue(size);
        json.WriteEndArray();
        json.WriteStartArray("data_offsets");
        json.WriteNumberValue(begin);
        json.WriteNumberValue(end);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void Write(Stream destination, TensorToWrite tensor)
    {
        for (long offset = 0, left = tensor.ByteLength; left > 0;)
        {
            int length = (int)Math.Min(left, Part);
            var bytes = tensor.Bytes(offset, length);
            if (bytes.Length != length)
                throw new ArgumentException($"{tensor.Name} gave {bytes.Length} bytes where {length} are needed.");
            destination.Write(bytes);
            offset += length;
            left -= length;
        }
    }
}
