using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace ReadTwice.Kernels;

/// <summary>Adds the products of one or two rows with some inputs of a panel to their sums.</summary>
/// <remarks>Weights are read once, in the order they lie in, and become floats on the way.</remarks>
internal static unsafe class PanelRows<L, W>
    where L : struct, ILanes<L>
    where W : struct, IStored<L>
{
    private const int BytesAhead = 8192;

    /// <summary>sums[row, output] += x[row, input] · W[output, input], for inputs of one group if it has scales.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Add(int rows, float* x, nint xRow, byte* group, int inputs, float* sums, nint sumRow)
    {
        for (int column = 0; column < Panels.Width; column += 4 * L.Count)
        {
            int row = 0;
            for (; row + 2 <= rows; row += 2)
                Two(x + row * xRow, xRow, group, column, inputs, sums + row * sumRow + column, sumRow);
            if (row < rows) One(x + row * xRow, group, column, inputs, sums + row * sumRow + column);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void One(float* x, byte* group, int column, int inputs, float* sums)
    {
        // Every other input has sums of its own, so that none waits for the last.
        L a = default, b = default, c = default, d = default, a2 = default, b2 = default, c2 = default, d2 = default;
        byte* w = First(group, column);
        int k = 0;
        for (; k + 2 <= inputs; k += 2, w += 2 * Panels.Width * W.Bytes)
        {
            Prefetch(w);
            L xk = L.Create(x[k]);
            a = L.MultiplyAdd(xk, W.Load(w), a);
            b = L.MultiplyAdd(xk, W.Load(w + L.Count * W.Bytes), b);
            c = L.MultiplyAdd(xk, W.Load(w + 2 * L.Count * W.Bytes), c);
            d = L.MultiplyAdd(xk, W.Load(w + 3 * L.Count * W.Bytes), d);
            Prefetch(w + Panels.Width * W.Bytes);
            xk = L.Create(x[k + 1]);
            a2 = L.MultiplyAdd(xk, W.Load(w + Panels.Width * W.Bytes), a2);
            b2 = L.MultiplyAdd(xk, W.Load(w + (Panels.Width + L.Count) * W.Bytes), b2);
            c2 = L.MultiplyAdd(xk, W.Load(w + (Panels.Width + 2 * L.Count) * W.Bytes), c2);
            d2 = L.MultiplyAdd(xk, W.Load(w + (Panels.Width + 3 * L.Count) * W.Bytes), d2);
        }
        if (k < inputs)
        {
            L xk = L.Create(x[k]);
            a = L.MultiplyAdd(xk, W.Load(w), a);
            b = L.MultiplyAdd(xk, W.Load(w + L.Count * W.Bytes), b);
            c = L.MultiplyAdd(xk, W.Load(w + 2 * L.Count * W.Bytes), c);
            d = L.MultiplyAdd(xk, W.Load(w + 3 * L.Count * W.Bytes), d);
        }
        Add(a + a2, group, column, sums, 0);
        Add(b + b2, group, column, sums, L.Count);
        Add(c + c2, group, column, sums, 2 * L.Count);
        Add(d + d2, group, column, sums, 3 * L.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Two(float* x, nint xRow, byte* group, int column, int inputs, float* sums, nint sumRow)
    {
        L a = default, b = default, c = default, d = default, a2 = default, b2 = default, c2 = default, d2 = default;
        byte* w = First(group, column);
        float* second = x + xRow;
        for (int k = 0; k < inputs; k++, w += Panels.Width * W.Bytes)
        {
            Prefetch(w);
            L wa = W.Load(w), wb = W.Load(w + L.Count * W.Bytes), wc = W.Load(w + 2 * L.Count * W.Bytes), wd = W.Load(w + 3 * L.Count * W.Bytes);
            L xk = L.Create(x[k]);
            a = L.MultiplyAdd(xk, wa, a);
            b = L.MultiplyAdd(xk, wb, b);
            c = L.MultiplyAdd(xk, wc, c);
            d = L.MultiplyAdd(xk, wd, d);
            xk = L.Create(second[k]);
            a2 = L.MultiplyAdd(xk, wa, a2);
            b2 = L.MultiplyAdd(xk, wb, b2);
            c2 = L.MultiplyAdd(xk, wc, c2);
            d2 = L.MultiplyAdd(xk, wd, d2);
        }
        Add(a, group, column, sums, 0);
        Add(b, group, column, sums, L.Count);
        Add(c, group, column, sums, 2 * L.Count);
        Add(d, group, column, sums, 3 * L.Count);
        sums += sumRow;
        Add(a2, group, column, sums, 0);
        Add(b2, group, column, sums, L.Count);
        Add(c2, group, column, sums, 2 * L.Count);
        Add(d2, group, column, sums, 3 * L.Count);
    }

    // The processor asks by itself for what comes next, but too late where floats take little memory and so little time.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(byte* w)
    {
        if (!Sse.IsSupported) return;
        w += BytesAhead;
        Sse.Prefetch0(w);
        if (W.Bytes >= 2) Sse.Prefetch0(w + 64);
        if (W.Bytes >= 4) Sse.Prefetch0(w + 128);
        if (W.Bytes >= 4) Sse.Prefetch0(w + 192);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte* First(byte* group, int column) =>
        group + (W.Scaled ? Panels.Width * sizeof(float) : 0) + column * W.Bytes;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(L product, byte* group, int column, float* sums, int at)
    {
        L sum = L.Load(sums + at);
        if (W.Scaled) L.MultiplyAdd(L.Load((float*)group + column + at), product, sum).Store(sums + at);
        else (sum + product).Store(sums + at);
    }
}
