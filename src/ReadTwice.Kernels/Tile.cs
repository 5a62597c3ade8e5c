using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>A sum over n below Count of a[n, row] · b[n, column], where a and b may lie in memory in either order.</summary>
/// <param name="a">The value of row 0 at n = 0.</param>
/// <param name="aStep">Floats from one n to the next in a.</param>
/// <param name="aRow">Floats from one row to the next in a.</param>
/// <param name="b">Column 0 at n = 0; columns are neighbours.</param>
/// <param name="bStep">Floats from one n to the next in b.</param>
/// <param name="count">How many n there are.</param>
internal readonly unsafe struct Product(float* a, int aStep, int aRow, float* b, int bStep, int count)
{
    public readonly float* A = a;
    public readonly float* B = b;
    public readonly nint AStep = aStep, ARow = aRow, BStep = bStep;
    public readonly int Count = count;
}

/// <summary>
/// The one matrix product of these kernels: six rows of a result stay in registers while everything that goes into them is
/// summed. All operands have six rows' worth of memory, and whole registers of columns.
/// </summary>
internal static unsafe class Tile<L> where L : struct, ILanes<L>
{
    public const int Rows = 6;

    /// <summary>c ← factors · (first + second), a factor per row; all are one where factors is null.</summary>
    public static void Set(int width, in Product first, in Product second, float* factors, float* c, int cRow) =>
        Sum(width, first, second, factors, false, c, cRow);

    /// <summary>c ← product.</summary>
    public static void Set(int width, in Product product, float* c, int cRow) =>
        Sum(width, product, default, null, false, c, cRow);

    /// <summary>c ← c + product.</summary>
    public static void Add(int width, in Product product, float* c, int cRow) =>
        Sum(width, product, default, null, true, c, cRow);

    private static void Sum(int width, in Product first, in Product second, float* factors, bool add, float* c, int cRow)
    {
        for (int column = 0; column < width;)
        {
            int left = (width - column) / L.Count;
            if (L.WidestRow >= 4 && left >= 4 && left != 5)
            {
                Sum<Row4<L>>(column, first, second, factors, add, c + column, cRow);
                column += 4 * L.Count;
            }
            else if (L.WidestRow >= 3 && left >= 3)
            {
                Sum<Row3<L>>(column, first, second, factors, add, c + column, cRow);
                column += 3 * L.Count;
            }
            else if (left >= 2)
            {
                Sum<Row2<L>>(column, first, second, factors, add, c + column, cRow);
                column += 2 * L.Count;
            }
            else
            {
                Sum<L>(column, first, second, factors, add, c + column, cRow);
                column += L.Count;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Sum<R>(int column, in Product first, in Product second, float* factors, bool add, float* c, nint cRow)
        where R : struct, IRow<R, L>
    {
        // Locals, not an array: only so does the compiler keep them in registers.
        R r0 = default, r1 = default, r2 = default, r3 = default, r4 = default, r5 = default;
        if (add)
        {
            r0 = R.Load(c);
            r1 = R.Load(c + cRow);
            r2 = R.Load(c + 2 * cRow);
            r3 = R.Load(c + 3 * cRow);
            r4 = R.Load(c + 4 * cRow);
            r5 = R.Load(c + 5 * cRow);
        }

        // Two loops written out: a loop over the products would spill the six rows between them.
        float* a = first.A, upper = a + 3 * first.ARow, b = first.B + column;
        nint aRow = first.ARow, aStep = first.AStep, bStep = first.BStep;
        for (int n = first.Count; n > 0; n--)
        {
            R row = R.Load(b);
            r0 = R.MultiplyAdd(L.Create(a[0]), row, r0);
            r1 = R.MultiplyAdd(L.Create(a[aRow]), row, r1);
            r2 = R.MultiplyAdd(L.Create(a[2 * aRow]), row, r2);
            r3 = R.MultiplyAdd(L.Create(upper[0]), row, r3);
            r4 = R.MultiplyAdd(L.Create(upper[aRow]), row, r4);
            r5 = R.MultiplyAdd(L.Create(upper[2 * aRow]), row, r5);
            a += aStep;
            upper += aStep;
            b += bStep;
        }

        a = second.A;
        b = second.B + column;
        (aRow, aStep, bStep) = (second.ARow, second.AStep, second.BStep);
        upper = a + 3 * aRow;
        for (int n = second.Count; n > 0; n--)
        {
            R row = R.Load(b);
            r0 = R.MultiplyAdd(L.Create(a[0]), row, r0);
            r1 = R.MultiplyAdd(L.Create(a[aRow]), row, r1);
            r2 = R.MultiplyAdd(L.Create(a[2 * aRow]), row, r2);
            r3 = R.MultiplyAdd(L.Create(upper[0]), row, r3);
            r4 = R.MultiplyAdd(L.Create(upper[aRow]), row, r4);
            r5 = R.MultiplyAdd(L.Create(upper[2 * aRow]), row, r5);
            a += aStep;
            upper += aStep;
            b += bStep;
        }

        if (factors != null)
        {
            r0 = R.Scale(L.Create(factors[0]), r0);
            r1 = R.Scale(L.Create(factors[1]), r1);
            r2 = R.Scale(L.Create(factors[2]), r2);
            r3 = R.Scale(L.Create(factors[3]), r3);
            r4 = R.Scale(L.Create(factors[4]), r4);
            r5 = R.Scale(L.Create(factors[5]), r5);
        }
        r0.Store(c);
        r1.Store(c + cRow);
        r2.Store(c + 2 * cRow);
        r3.Store(c + 3 * cRow);
        r4.Store(c + 4 * cRow);
        r5.Store(c + 5 * cRow);
    }
}
