using System.Runtime.Intrinsics;

namespace ReadTwice.Kernels;

/// <summary>Which registers suit rows that are not filled up: a row's end is met once more by a register that ends with it.</summary>
internal static class Width
{
    /// <summary>Floats in the widest register that a row of n numbers fills; 0 where it fills none, and the plain loops do.</summary>
    public static int For(int n) =>
        n >= Lanes512.Count && Vector512.IsHardwareAccelerated ? Lanes512.Count
        : n >= Lanes256.Count && Vector256.IsHardwareAccelerated ? Lanes256.Count
        : n >= Lanes128.Count ? Lanes128.Count : 0;
}
