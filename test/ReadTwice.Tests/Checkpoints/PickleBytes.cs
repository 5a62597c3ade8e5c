using System.Buffers.Binary;
using System.Text;

namespace ReadTwice.Tests.Checkpoints;

/// <summary>Pieces of pickles and the zip around them, as torch.save writes them, or as someone evil would.</summary>
internal static class PickleBytes
{
    public static byte[] Pickle(params byte[][] content) => [0x80, 2, .. content.SelectMany(part => part), (byte)'.'];

    public static byte[] Dictionary(params (string Key, byte[] Value)[] items) =>
        [(byte)'}', (byte)'(', .. items.SelectMany(item => Text(item.Key).Concat(item.Value)), (byte)'u'];

    public static byte[] Text(string text) => [(byte)'X', .. Int32(Encoding.UTF8.GetByteCount(text)), .. Encoding.UTF8.GetBytes(text)];

    public static byte[] Number(long number)
    {
        if (number is >= 0 and < 256) return [(byte)'K', (byte)number];
        byte[] bytes = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, number);
        return [0x8a, 8, .. bytes];
    }

    public static byte[] Tuple(params byte[][] items) => [(byte)'(', .. items.SelectMany(item => item), (byte)'t'];

    public static byte[] Numbers(params long[] numbers) => Tuple([.. numbers.Select(Number)]);

    public static byte[] Global(string module, string name) => [(byte)'c', .. Encoding.UTF8.GetBytes($"{module}\n{name}\n")];

    public static byte[] OrderedDict() => [.. Global("collections", "OrderedDict"), (byte)')', (byte)'R'];

    public static byte[] Storage(string type, string key, long length) =>
        [.. Tuple(Text("storage"), Global("torch", type), Text(key), Text("cpu"), Number(length)), (byte)'Q'];

    public static byte[] Tensor(byte[] storage, long offset, long[] shape, long[] strides) =>
    [
        .. Global("torch._utils", "_rebuild_tensor_v2"),
        .. Tuple(storage, Number(offset), Numbers(shape), Numbers(strides), [0x89], OrderedDict()), (byte)'R',
    ];

    /// <summary>A zip of the pickle and the storages, each entry's bytes at a multiple of 64.</summary>
    public static byte[] File(byte[] pickle, params (string Key, byte[] Bytes)[] storages) =>
        Zip([("stem/data.pkl", pickle), ("stem/byteorder", "little"u8.ToArray()), .. storages.Select(storage => ($"stem/data/{storage.Key}", storage.Bytes))]);

    public static byte[] Zip((string Name, byte[] Bytes)[] entries, int alignment = 64, bool zip64 = false, ushort method = 0, ushort flags = 0)
    {
        var file = new MemoryStream();
        var directory = new MemoryStream();
        foreach (var (name, bytes) in entries)
        {
            byte[] nameBytes = Encoding.UTF8.GetBytes(name);
            byte[] start = Int64(file.Position), size = Int32(zip64 ? -1 : bytes.Length);
            byte[] extra = zip64 ? [9, 9, 2, 0, 0, 0, 1, 0, 24, 0, .. Int64(bytes.Length), .. Int64(bytes.Length), .. start] : [];
            int padding = (int)((alignment - (file.Position + 30 + nameBytes.Length) % alignment) % alignment);
            file.Write([.. "PK\u0003\u0004"u8, 0, 0, .. Int16(flags), .. Int16(method), .. new byte[8], .. size, .. size, .. Int16(nameBytes.Length), .. Int16(padding)]);
            file.Write([.. nameBytes, .. new byte[padding], .. bytes]);
            directory.Write([.. "PK\u0001\u0002"u8, 0, 0, 0, 0, .. Int16(flags), .. Int16(method), .. new byte[8], .. size, .. size, .. Int16(nameBytes.Length)]);
            directory.Write([.. Int16(extra.Length), .. new byte[10], .. zip64 ? Int32(-1) : start[..4], .. nameBytes, .. extra]);
        }
        long at = file.Position, end = at + directory.Length;
        file.Write(directory.ToArray());
        if (zip64)
        {
            file.Write([.. "PK\u0006\u0006"u8, .. Int64(44), .. new byte[12], .. Int64(entries.Length), .. Int64(entries.Length), .. Int64(directory.Length), .. Int64(at)]);
            file.Write([.. "PK\u0006\u0007"u8, .. new byte[4], .. Int64(end), 1, 0, 0, 0]);
        }
        byte[] count = Int16(zip64 ? -1 : entries.Length);
        file.Write([.. "PK\u0005\u0006"u8, .. new byte[4], .. count, .. count, .. Int32((int)directory.Length), .. Int32(zip64 ? -1 : (int)at), 0, 0]);
        return file.ToArray();
    }

    /// <summary>The format before the zip: four pickles, the list of storages, the storages.</summary>
    public static byte[] Legacy(byte[] pickle, params (string Key, long Count, byte[] Bytes)[] storages) =>
    [
        .. Pickle([0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]),
        .. Pickle(Number(1001)),
        .. Pickle(Dictionary(("protocol_version", Number(1001)), ("little_endian", [0x88]))),
        .. pickle,
        .. Pickle([(byte)']', (byte)'(', .. storages.SelectMany(storage => Text(storage.Key)), (byte)'e']),
        .. storages.SelectMany(storage => Int64(storage.Count).Concat(storage.Bytes)),
    ];

    private static byte[] Int64(long value)
    {
        byte[] bytes = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        return bytes;
    }

    private static byte[] Int32(int value) => Int64(value)[..4];

    private static byte[] Int16(int value) => Int64(value)[..2];
}
