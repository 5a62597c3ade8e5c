namespace ReadTwice.Kernels;

/// <summary>bfloat16, the upper half of a float32.</summary>
internal static class BFloat16
{
    /// <summary>The bits of the nearest one, ties to even, as libtorch rounds.</summary>
    public static ushort Nearest(float x)
    {
        uint bits = BitConverter.SingleToUInt32Bits(x);
        // Rounding would carry some of the numbers that are none over to zero.
        return float.IsNaN(x) ? (ushort)(bits >> 16 | 0x40) : (ushort)(bits + 0x7fff + (bits >> 16 & 1) >> 16);
    }
}
