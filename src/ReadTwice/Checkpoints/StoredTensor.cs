namespace ReadTwice.Checkpoints;

/// <summary>What the numbers of a stored tensor are; the names are those of safetensors.</summary>
public enum StoredType
{
    /// <summary>64-bit floating point.</summary>
    F64,

    /// <summary>32-bit floating point.</summary>
    F32,

    /// <summary>16-bit floating point, 5 bits of exponent.</summary>
    F16,

    /// <summary>16-bit floating point, 8 bits of exponent.</summary>
    BF16,

    /// <summary>64-bit integer.</summary>
    I64,

    /// <summary>32-bit integer.</summary>
    I32,

    /// <summary>16-bit integer.</summary>
    I16,

    /// <summary>8-bit integer.</summary>
    I8,

    /// <summary>8-bit integer without a sign.</summary>
    U8,

    /// <summary>A byte that is 0 or 1.</summary>
    Bool,
}

/// <summary>A tensor where it lies in a file that is mapped into memory.</summary>
/// <remarks>It owns nothing: <see cref="Data"/> is valid until the <see cref="WeightFiles"/> it came from is disposed.</remarks>
public sealed unsafe class StoredTensor
{
    internal StoredTensor(string name, string file, StoredType type, long[] shape, long[] strides, byte* data)
    {
        (Name, File, Type, Shape, Strides) = (name, file, type, shape, strides);
        Data = data;
        Count = TensorLayout.Count(shape) ?? throw new ArgumentException($"{name} is too large.", nameof(shape));
        long span = TensorLayout.Span(shape, strides) ?? throw new ArgumentException($"{name} is too large.", nameof(strides));
        ByteLength = span * type.Size();
    }

    /// <summary>Its name in the file.</summary>
    public string Name { get; }

    /// <summary>The name of the file, for messages.</summary>
    public string File { get; }

    /// <summary>What its numbers are.</summary>
    public StoredType Type { get; }

    /// <summary>The size of each axis.</summary>
    public IReadOnlyList<long> Shape { get; }

    /// <summary>How many elements apart neighbours along each axis are; never negative.</summary>
    public IReadOnlyList<long> Strides { get; }

    /// <summary>How many elements it has.</summary>
    public long Count { get; }

    /// <summary>How many bytes lie between its first element and the end of its last.</summary>
    public long ByteLength { get; }

    /// <summary>Its first element, aligned to the size of an element; little-endian, read-only.</summary>
    public byte* Data { get; }
}

/// <summary>Sizes of types and shapes; null stands for what does not fit 64 bits.</summary>
internal static class TensorLayout
{
    /// <summary>libtorch knows no tensor of more axes.</summary>
    public const int MostAxes = 64;

    public static int Size(this StoredType type) => type switch
    {
        StoredType.F64 or StoredType.I64 => 8,
        StoredType.F32 or StoredType.I32 => 4,
        StoredType.F16 or StoredType.BF16 or StoredType.I16 => 2,
        _ => 1,
    };

    /// <summary>The number of elements of a shape whose bytes, zero sizes taken as one, can still be counted.</summary>
    public static long? Count(IReadOnlyList<long> shape)
    {
        Int128 count = 1;
        foreach (long size in shape)
            if (size < 0 || (count *= Math.Max(size, 1)) > long.MaxValue / sizeof(double)) return null;
        return shape.Contains(0) ? 0 : (long)count;
    }

    /// <summary>The strides of a tensor whose elements lie one after the other.</summary>
    public static long[] Contiguous(IReadOnlyList<long> shape)
    {
        long[] strides = new long[shape.Count];
        long stride = 1;
        for (int i = strides.Length - 1; i >= 0; i--)
        {
            strides[i] = stride;
            stride *= Math.Max(shape[i], 1);
        }
        return strides;
    }

    /// <summary>How many elements lie from the first to the last of a tensor, both included.</summary>
    public static long? Span(IReadOnlyList<long> shape, IReadOnlyList<long> strides)
    {
        if (shape.Contains(0)) return 0;
        Int128 span = 1;
        for (int i = 0; i < shape.Count; i++)
            if ((span += (Int128)(shape[i] - 1) * strides[i]) > long.MaxValue / sizeof(double)) return null;
        return (long)span;
    }

    public static string Show(IReadOnlyList<long> shape) => OneLine.Of($"[{string.Join(", ", shape)}]");
}
