using System.Buffers.Binary;
using System.Text;

namespace ReadTwice.Checkpoints;

/// <summary>The entries of a zip file that stores them plain, found where they lie; .NET's own reader copies what it reads.</summary>
internal sealed class ZipEntries
{
    private const uint EndSignature = 0x06054b50, End64Signature = 0x06064b50, Locator64Signature = 0x07064b50;
    private const uint DirectorySignature = 0x02014b50, LocalSignature = 0x04034b50;
    private const int EndLength = 22, End64Length = 56, Locator64Length = 20, DirectoryLength = 46, LocalLength = 30;
    private const ushort Encrypted = 1, Extra64 = 1;

    private readonly MappedFile file;
    private readonly Dictionary<string, (long Offset, long Length)> entries = new(StringComparer.Ordinal);

    /// <exception cref="InvalidDataException">The file is damaged, or its entries are compressed or encrypted.</exception>
    public ZipEntries(MappedFile file)
    {
        this.file = file;
        var (position, count) = FindDirectory();
        for (ulong i = 0; i < count; i++) position = Add(position);
    }

    /// <summary>Where each entry's bytes begin, and how many there are.</summary>
    public IReadOnlyDictionary<string, (long Offset, long Length)> Files => entries;

    private (ulong Position, ulong Count) FindDirectory()
    {
        long end = file.Length - EndLength, earliest = Math.Max(0, end - ushort.MaxValue);
        while (end >= earliest && !IsEnd(end)) end--;
        if (end < earliest)
            throw file.Bad("the zip's directory, which stands at the end, is missing; the file is cut short, download it again");
        if (end >= Locator64Length && UInt32(end - Locator64Length) == Locator64Signature)
        {
            var end64 = At(UInt64(file.Span(end - Locator64Length + 8, 8)), End64Length, End64Signature);
            return (UInt64(end64[48..]), UInt64(end64[32..]));
        }
        var last = file.Span(end, EndLength);
        return (UInt32(last[16..]), UInt16(last[10..]));
    }

    // The signature alone may stand in a comment, too.
    private bool IsEnd(long position) =>
        UInt32(position) == EndSignature && UInt16(file.Span(position + EndLength - 2, 2)) == file.Length - position - EndLength;

    private ulong Add(ulong position)
    {
        var entry = At(position, DirectoryLength, DirectorySignature);
        int nameLength = UInt16(entry[28..]), extraLength = UInt16(entry[30..]);
        string name = Encoding.UTF8.GetString(file.Span((long)position + DirectoryLength, nameLength));
        var extra = file.Span((long)position + DirectoryLength + nameLength, extraLength);
        ulong length = UInt32(entry[24..]), stored = UInt32(entry[20..]), local = UInt32(entry[42..]);
        Extend(extra, ref length, ref stored, ref local);
        if ((UInt16(entry[8..]) & Encrypted) != 0)
            throw Bad(name, "is encrypted; unpack the file and save it again with torch.save");
        if (UInt16(entry[10..]) != 0 || stored != length)
            throw Bad(name, $"is compressed (method {UInt16(entry[10..])}); PyTorch stores plain bytes, unpack the file and " +
                "save it again with torch.save");
        var header = At(local, LocalLength, LocalSignature);
        long offset = (long)local + LocalLength + UInt16(header[26..]) + UInt16(header[28..]);
        if (length > (ulong)file.Length || offset > file.Length - (long)length)
            throw Bad(name, $"has {length} bytes from byte {offset}; the file has {file.Length}, it is cut short, download it again");
        if (!entries.TryAdd(name, (offset, (long)length))) throw Bad(name, "stands twice in the zip; download the file again");
        return position + DirectoryLength + (ulong)(nameLength + extraLength + UInt16(entry[32..]));
    }

    // ZIP64: those of the numbers that do not fit 32 bits follow in this order.
    private static void Extend(ReadOnlySpan<byte> extra, ref ulong length, ref ulong stored, ref ulong local)
    {
        while (extra.Length >= 4)
        {
            var (id, size) = (UInt16(extra), Math.Min(UInt16(extra[2..]), extra.Length - 4));
            var numbers = extra.Slice(4, size);
            extra = extra[(4 + size)..];
            if (id != Extra64) continue;
            Next(ref numbers, ref length);
            Next(ref numbers, ref stored);
            Next(ref numbers, ref local);
        }

        static void Next(ref ReadOnlySpan<byte> numbers, ref ulong value)
        {
            if (value != uint.MaxValue || numbers.Length < sizeof(ulong)) return;
            value = UInt64(numbers);
            numbers = numbers[sizeof(ulong)..];
        }
    }

    private ReadOnlySpan<byte> At(ulong position, int length, uint signature)
    {
        if (position > (ulong)(file.Length - length) || UInt32((long)position) != signature)
            throw file.Bad($"the zip's directory points to byte {position}, where nothing of it is; the file is damaged, download it again");
        return file.Span((long)position, length);
    }

    private uint UInt32(long position) => UInt32(file.Span(position, 4));

    private static ushort UInt16(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt16LittleEndian(bytes);

    private static uint UInt32(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt32LittleEndian(bytes);

    private static ulong UInt64(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt64LittleEndian(bytes);

    private InvalidDataException Bad(string name, string what) => file.Bad($"the entry {OneLine.Of(name)} {what}");
}
