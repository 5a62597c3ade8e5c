using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>y = a ⊙ silu(g), the gate of SwiGLU (arXiv 2002.05202).</summary>
/// <remarks>
/// a, g and y are rows of n numbers; a row of a starts aRow numbers after the one before, one of g gRow, so that both may be halves of
/// wider rows. threads = 0 uses every processor. Every method computes the same values: read Reference, call Forward.
/// </remarks>
public static unsafe class SwiGlu
{
    /// <summary>Gates the rows.</summary>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Forward(int rows, int n, In a, int aRow, In g, int gRow, Ref y, int threads = 0)
    {
        Require(rows, n, a, aRow, g, gRow, y);
        fixed (float* atA = a, atG = g, atY = y)
            switch (Width.For(n))
            {
                case 16: Run<Lanes512>(rows, n, atA, aRow, atG, gRow, atY, threads); break;
                case 8: Run<Lanes256>(rows, n, atA, aRow, atG, gRow, atY, threads); break;
                case 4: Run<Lanes128>(rows, n, atA, aRow, atG, gRow, atY, threads); break;
                default: Reference(rows, n, a, aRow, g, gRow, y); break;
            }
    }

    /// <summary>The gradients of a and g, given that of y; all three are rows without gaps.</summary>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Backward(int rows, int n, In a, int aRow, In g, int gRow, In dy, Ref da, Ref dg, int threads = 0)
    {
        Require(rows, n, a, aRow, g, gRow, dy);
        Require(rows, n, da, n, dg, n, dy);
        fixed (float* atA = a, atG = g, atDY = dy, atDA = da, atDG = dg)
            switch (Width.For(n))
            {
                case 16: RunBackward<Lanes512>(rows, n, atA, aRow, atG, gRow, atDY, atDA, atDG, threads); break;
                case 8: RunBackward<Lanes256>(rows, n, atA, aRow, atG, gRow, atDY, atDA, atDG, threads); break;
                case 4: RunBackward<Lanes128>(rows, n, atA, aRow, atG, gRow, atDY, atDA, atDG, threads); break;
                default: ReferenceBackward(rows, n, a, aRow, g, gRow, dy, da, dg); break;
            }
    }

    internal static void Reference(int rows, int n, In a, int aRow, In g, int gRow, Ref y)
    {
        for (int row = 0; row < rows; row++)
            for (int i = 0; i < n; i++)
            {
                float gate = g[row * gRow + i];
                y[row * n + i] = a[row * aRow + i] * gate * Sigmoid.Of(gate);
            }
    }

    internal static void ReferenceBackward(int rows, int n, In a, int aRow, In g, int gRow, In dy, Ref da, Ref dg)
    {
        for (int row = 0; row < rows; row++)
            for (int i = 0; i < n; i++)
            {
                float gate = g[row * gRow + i], d = dy[row * n + i];
                da[row * n + i] = d * gate * Sigmoid.Of(gate);
                dg[row * n + i] = d * a[row * aRow + i] * Sigmoid.SiluSlope(gate);
            }
    }

    private static void Run<L>(int rows, int n, float* a, nint aRow, float* g, nint gRow, float* y, int threads) where L : struct, ILanes<L>
    {
        RowWork.Run(rows, RowWork.Parts(rows, n, threads), (_, first, next) =>
        {
            for (nint row = first; row < next; row++) Row<L>(n, a + row * aRow, g + row * gRow, y + row * n);
        });
    }

    private static void RunBackward<L>(int rows, int n, float* a, nint aRow, float* g, nint gRow, float* dy, float* da, float* dg, int threads)
        where L : struct, ILanes<L>
    {
        RowWork.Run(rows, RowWork.Parts(rows, n, threads), (_, first, next) =>
        {
            for (nint row = first; row < next; row++)
                RowBackward<L>(n, a + row * aRow, g + row * gRow, dy + row * n, da + row * n, dg + row * n);
        });
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Row<L>(nint n, float* a, float* g, float* y) where L : struct, ILanes<L>
    {
        for (nint at = 0; at < n; at += L.Count)
        {
            nint i = Math.Min(at, n - L.Count);
            (L.Load(a + i) * Sigmoid.Silu(L.Load(g + i))).Store(y + i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void RowBackward<L>(nint n, float* a, float* g, float* dy, float* da, float* dg) where L : struct, ILanes<L>
    {
        for (nint at = 0; at < n; at += L.Count)
        {
            nint i = Math.Min(at, n - L.Count);
            L gate = L.Load(g + i), d = L.Load(dy + i), sigmoid = Sigmoid.Of(gate);
            (d * gate * sigmoid).Store(da + i);
            (d * L.Load(a + i) * Sigmoid.SiluSlope(gate, sigmoid)).Store(dg + i);
        }
    }

    private static void Require(int rows, int n, In a, int aRow, In g, int gRow, In y)
    {
        if (rows < 1 || n < 1) throw new ArgumentException($"SwiGLU needs sizes of one or more, not {rows} rows of {n}.");
        Shape.RequireRows(a, rows, n, aRow);
        Shape.RequireRows(g, rows, n, gRow);
        Shape.Require(y, [rows, n]);
    }
}
