using System.Buffers.Binary;

namespace ReadTwice.Checkpoints;

/// <summary>Finds the tensors of a safetensors file where they lie.</summary>
internal static unsafe class SafetensorsReader
{
    /// <exception cref="InvalidDataException">The file is damaged or of another format; the message says what was found.</exception>
    public static IEnumerable<StoredTensor> Read(MappedFile file, out IReadOnlyDictionary<string, string> metadata)
    {
        if (file.Length < SafetensorsHeader.LengthBytes)
            throw file.Bad(
                $"the file has {file.Length} bytes; safetensors begins with a length of {SafetensorsHeader.LengthBytes}. Download it again");
        ulong claimed = BinaryPrimitives.ReadUInt64LittleEndian(file.Span(0, SafetensorsHeader.LengthBytes));
        int length = SafetensorsHeader.RequireLength(file.Name, claimed, file.Length);
        long start = SafetensorsHeader.LengthBytes + length;
        var header = new SafetensorsHeader(file.Name, file.Span(SafetensorsHeader.LengthBytes, length), file.Length - start);
        metadata = header.Metadata;
        return [.. header.Tensors.Select(tensor => Map(file, start, tensor.Key, tensor.Value))];
    }

    private static StoredTensor Map(MappedFile file, long start, string name, SafetensorsHeader.Entry entry) => new(
        name, file.Name, entry.Type, entry.Shape, TensorLayout.Contiguous(entry.Shape),
        file.Aligned(start + entry.Begin, entry.End - entry.Begin, entry.Type.Size()));
}
