using System.Buffers;

namespace ReadTwice.Tests.Kernels;

/// <summary>The pool that kernels borrow from.</summary>
internal static class BorrowedMemory
{
    /// <summary>Leaves NaN in what the next call will borrow.</summary>
    public static void Poison()
    {
        for (int size = 16; size <= 1 << 20; size *= 2)
        {
            float[] array = ArrayPool<float>.Shared.Rent(size);
            array.AsSpan().Fill(float.NaN);
            ArrayPool<float>.Shared.Return(array);
        }
    }
}
