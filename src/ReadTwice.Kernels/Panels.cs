namespace ReadTwice.Kernels;

/// <summary>How the weights of a <see cref="PackedMatrix"/> are kept.</summary>
public enum PackedType
{
    /// <summary>As they are, four bytes each.</summary>
    Float32,

    /// <summary>The nearest bfloat16, two bytes each.</summary>
    BFloat16,

    /// <summary>One byte each: whole multiples, -127 to 127, of a scale that 64 neighbouring inputs of an output share.</summary>
    Int8,
}

/// <summary>Where the weights of a matrix [N, K] lie: panel after panel of 64 outputs, in each the inputs one after another.</summary>
/// <remarks>
/// A panel is made of groups of 64 inputs, [64][64], the last one shorter. Where weights are of one byte, the 64 scales of a
/// group's outputs stand before it. Outputs beyond N are zero.
/// </remarks>
internal readonly struct Panels(int N, int K, PackedType type)
{
    /// <summary>Outputs in a panel.</summary>
    public const int Width = 64;

    /// <summary>Inputs in a group.</summary>
    public const int Group = 64;

    public readonly int N = N, K = K;
    public readonly PackedType Type = type;

    public int Count => (N + Width - 1) / Width;

    /// <summary>Bytes before a group's weights.</summary>
    public int ScaleBytes => Type == PackedType.Int8 ? Width * sizeof(float) : 0;

    public int WeightBytes => Type switch { PackedType.Float32 => 4, PackedType.BFloat16 => 2, _ => 1 };

    /// <summary>Bytes from a group to the next.</summary>
    public int GroupBytes => Group * Width * WeightBytes + ScaleBytes;

    public long PanelBytes => (long)K * Width * WeightBytes + (long)(K + Group - 1) / Group * ScaleBytes;

    public long Bytes => Count * PanelBytes;

    /// <summary>Where the group of an input that begins one lies.</summary>
    public long Offset(int panel, int input) =>
        panel * PanelBytes + (long)input * Width * WeightBytes + (long)input / Group * ScaleBytes;

    /// <summary>How many outputs a panel has.</summary>
    public int Outputs(int panel) => Math.Min(Width, N - panel * Width);
}
