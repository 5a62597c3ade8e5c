using System.Buffers.Binary;
using System.Text;

namespace ReadTwice.Tokenizers;

/// <summary>Reads the fields of one protobuf message in turn; a field that ends beyond its message is an error.</summary>
internal ref struct ProtobufReader(ReadOnlySpan<byte> message)
{
    private const int Varint = 0, Fixed64 = 1, Bytes = 2, Fixed32 = 5;

    private static readonly UTF8Encoding strict = new(false, throwOnInvalidBytes: true);

    private readonly int total = message.Length;
    private ReadOnlySpan<byte> left = message;
    private ReadOnlySpan<byte> value;
    private ulong number;
    private int kind;

    /// <summary>The number of the field that was read last.</summary>
    public int Field { get; private set; }

    /// <summary>Reads the next field; false at the end.</summary>
    public bool Next()
    {
        if (left.IsEmpty) return false;
        ulong tag = ReadVarint();
        Field = (int)(tag >> 3 & int.MaxValue);
        kind = (int)(tag & 7);
        number = 0;
        value = [];
        switch (kind)
        {
            case Varint: number = ReadVarint(); break;
            case Fixed64: value = Take(8); break;
            case Fixed32: value = Take(4); break;
            case Bytes: value = Take(ReadVarint()); break;
            default:
                throw new InvalidDataException(
                    $"field {Field} at byte {total - left.Length} is of unknown kind {kind}; a SentencePiece model is needed.");
        }
        return true;
    }

    public readonly ReadOnlySpan<byte> AsBytes() => Is(Bytes, "bytes") ? value : default;

    public readonly string AsText()
    {
        try
        {
            return strict.GetString(AsBytes());
        }
        catch (DecoderFallbackException)
        {
            throw new InvalidDataException($"field {Field} holds {value.Length} bytes that are no UTF-8 text.");
        }
    }

    public readonly long AsNumber() => Is(Varint, "a whole number") ? (long)number : 0;

    public readonly bool AsFlag() => AsNumber() != 0;

    public readonly float AsFloat() => Is(Fixed32, "a float") ? BinaryPrimitives.ReadSingleLittleEndian(value) : 0;

    private readonly bool Is(int needed, string name) => kind == needed ? true :
        throw new InvalidDataException($"field {Field} is of kind {kind}; {name} (kind {needed}) is needed.");

    private ulong ReadVarint()
    {
        ulong result = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            byte next = Take(1)[0];
            result |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80) return result;
        }
        throw new InvalidDataException($"the number before byte {total - left.Length} is longer than 64 bits.");
    }

    private ReadOnlySpan<byte> Take(ulong count)
    {
        if (count > (ulong)left.Length)
            throw new InvalidDataException(
                $"a field at byte {total - left.Length} of {total} needs {count} bytes; " +
                $"the file is cut short or is no SentencePiece model.");
        var taken = left[..(int)count];
        left = left[(int)count..];
        return taken;
    }
}
