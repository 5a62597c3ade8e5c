using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>One to four registers side by side, which a micro-kernel treats as one.</summary>
internal unsafe interface IRow<TSelf, L> where TSelf : struct, IRow<TSelf, L>
{
    static abstract TSelf Load(float* from);
    static abstract TSelf Scale(L factor, TSelf row);
    static abstract TSelf MultiplyAdd(L factor, TSelf row, TSelf sum);
    static abstract TSelf operator *(TSelf a, TSelf b);

    /// <summary>The products of two rows, added across their registers: the sum of its lanes is that of the rows' products.</summary>
    static abstract L Dot(TSelf x, TSelf y);
    void Store(float* to);
}

internal readonly unsafe struct Row2<L>(L a, L b) : IRow<Row2<L>, L> where L : struct, ILanes<L>
{
    private readonly L a = a, b = b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row2<L> Load(float* from) => new(L.Load(from), L.Load(from + L.Count));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row2<L> operator *(Row2<L> x, Row2<L> y) => new(x.a * y.a, x.b * y.b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Dot(Row2<L> x, Row2<L> y) => L.MultiplyAdd(x.a, y.a, x.b * y.b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row2<L> Scale(L factor, Row2<L> row) => new(factor * row.a, factor * row.b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row2<L> MultiplyAdd(L factor, Row2<L> row, Row2<L> sum) =>
        new(L.MultiplyAdd(factor, row.a, sum.a), L.MultiplyAdd(factor, row.b, sum.b));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* to)
    {
        a.Store(to);
        b.Store(to + L.Count);
    }
}

internal readonly unsafe struct Row3<L>(L a, L b, L c) : IRow<Row3<L>, L> where L : struct, ILanes<L>
{
    private readonly L a = a, b = b, c = c;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row3<L> Load(float* from) => new(L.Load(from), L.Load(from + L.Count), L.Load(from + 2 * L.Count));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row3<L> operator +(Row3<L> x, Row3<L> y) => new(x.a + y.a, x.b + y.b, x.c + y.c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row3<L> operator *(Row3<L> x, Row3<L> y) => new(x.a * y.a, x.b * y.b, x.c * y.c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Dot(Row3<L> x, Row3<L> y) => L.MultiplyAdd(x.a, y.a, L.MultiplyAdd(x.b, y.b, x.c * y.c));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row3<L> Scale(L factor, Row3<L> row) => new(factor * row.a, factor * row.b, factor * row.c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row3<L> MultiplyAdd(L factor, Row3<L> row, Row3<L> sum) => new(
        L.MultiplyAdd(factor, row.a, sum.a), L.MultiplyAdd(factor, row.b, sum.b), L.MultiplyAdd(factor, row.c, sum.c));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* to)
    {
        a.Store(to);
        b.Store(to + L.Count);
        c.Store(to + 2 * L.Count);
    }
}

internal readonly unsafe struct Row4<L>(L a, L b, L c, L d) : IRow<Row4<L>, L> where L : struct, ILanes<L>
{
    private readonly L a = a, b = b, c = c, d = d;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row4<L> Load(float* from) =>
        new(L.Load(from), L.Load(from + L.Count), L.Load(from + 2 * L.Count), L.Load(from + 3 * L.Count));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row4<L> operator *(Row4<L> x, Row4<L> y) => new(x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Dot(Row4<L> x, Row4<L> y) => L.MultiplyAdd(x.a, y.a, x.b * y.b) + L.MultiplyAdd(x.c, y.c, x.d * y.d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row4<L> Scale(L factor, Row4<L> row) =>
        new(factor * row.a, factor * row.b, factor * row.c, factor * row.d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row4<L> MultiplyAdd(L factor, Row4<L> row, Row4<L> sum) => new(
        L.MultiplyAdd(factor, row.a, sum.a), L.MultiplyAdd(factor, row.b, sum.b),
        L.MultiplyAdd(factor, row.c, sum.c), L.MultiplyAdd(factor, row.d, sum.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* to)
    {
        a.Store(to);
        b.Store(to + L.Count);
        c.Store(to + 2 * L.Count);
        d.Store(to + 3 * L.Count);
    }
}
