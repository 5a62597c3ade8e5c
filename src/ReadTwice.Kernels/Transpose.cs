using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ReadTwice.Kernels;

/// <summary>Turns rows into columns, in 4 by 4 blocks where the processor can.</summary>
internal static unsafe class Transpose
{
    /// <summary>to[column, row] = factor · from[row, column].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Copy(float* from, nint fromRow, int rows, int columns, float factor, float* to, nint toRow)
    {
        int column = 0, whole = Sse.IsSupported ? rows & ~3 : 0;
        if (Sse.IsSupported)
            for (; column + 4 <= columns; column += 4)
                for (int row = 0; row < whole; row += 4)
                    Block(from + row * fromRow + column, fromRow, factor, to + column * toRow + row, toRow);
        for (int c = 0; c < columns; c++)
            for (int row = c < column ? whole : 0; row < rows; row++)
                to[c * toRow + row] = factor * from[row * fromRow + c];
    }

    /// <summary>The sums of a, b, c and d, in this order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sums(Vector128<float> a, Vector128<float> b, Vector128<float> c, Vector128<float> d)
    {
        if (!Sse.IsSupported) return Vector128.Create(Vector128.Sum(a), Vector128.Sum(b), Vector128.Sum(c), Vector128.Sum(d));
        var ab = Sse.UnpackLow(a, b) + Sse.UnpackHigh(a, b);
        var cd = Sse.UnpackLow(c, d) + Sse.UnpackHigh(c, d);
        return Sse.MoveLowToHigh(ab, cd) + Sse.MoveHighToLow(cd, ab);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Block(float* from, nint fromRow, float factor, float* to, nint toRow)
    {
        var factors = Vector128.Create(factor);
        var a = factors * Vector128.Load(from);
        var b = factors * Vector128.Load(from + fromRow);
        var c = factors * Vector128.Load(from + 2 * fromRow);
        var d = factors * Vector128.Load(from + 3 * fromRow);
        var low = Sse.UnpackLow(a, b);
        var high = Sse.UnpackHigh(a, b);
        var lowest = Sse.UnpackLow(c, d);
        var highest = Sse.UnpackHigh(c, d);
        Sse.MoveLowToHigh(low, lowest).Store(to);
        Sse.MoveHighToLow(lowest, low).Store(to + toRow);
        Sse.MoveLowToHigh(high, highest).Store(to + 2 * toRow);
        Sse.MoveHighToLow(highest, high).Store(to + 3 * toRow);
    }
}
