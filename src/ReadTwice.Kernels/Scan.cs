using System.Numerics;

namespace ReadTwice.Kernels;

/// <summary>Sizes of a scan: B rows of T tokens, each of C channels.</summary>
public readonly record struct ScanSizes(int B, int T, int C);

/// <summary>A linear recurrence of every channel for itself, h ← a ⊙ h + b (HGRN, Griffin).</summary>
/// <remarks>a, b and h are [B, T, C], the state before the first token h0 [B, C]. threads = 0 uses every processor.</remarks>
public static class Scan
{
    private const int FewestNumbersInPart = 1 << 14;

    /// <summary>Writes the state after each token.</summary>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Forward(ScanSizes sizes, In a, In b, In h0, Ref h, int threads = 0)
    {
        Require(sizes, a, b, h0);
        Shape.Require(h, [sizes.B, sizes.T, sizes.C]);
        Simd(sizes, a, b, h0, h, threads);
    }

    /// <summary>The gradients of everything Forward read, given that of what it wrote.</summary>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Backward(ScanSizes sizes, In a, In h, In h0, In dh, Ref da, Ref db, Ref dh0, int threads = 0)
    {
        Require(sizes, a, h, h0);
        Require(sizes, da, db, dh0);
        Shape.Require(dh, [sizes.B, sizes.T, sizes.C]);
        SimdBackward(sizes, a, h, h0, dh, da, db, dh0, threads);
    }

    internal static void Reference(ScanSizes sizes, In a, In b, In h0, Ref h)
    {
        var (B, T, C) = sizes;
        for (int n = 0; n < B; n++)
            for (int t = 0; t < T; t++)
                for (int c = 0; c < C; c++)
                {
                    int at = (n * T + t) * C + c;
                    h[at] = a[at] * (t == 0 ? h0[n * C + c] : h[at - C]) + b[at];
                }
    }

    internal static void ReferenceBackward(ScanSizes sizes, In a, In h, In h0, In dh, Ref da, Ref db, Ref dh0)
    {
        var (B, T, C) = sizes;
        for (int n = 0; n < B; n++)
            for (int c = 0; c < C; c++)
            {
                float g = 0;   // the gradient of the state that token t left
                for (int t = T - 1; t >= 0; t--)
                {
                    int at = (n * T + t) * C + c;
                    g += dh[at];
                    db[at] = g;
                    da[at] = g * (t == 0 ? h0[n * C + c] : h[at - C]);
                    g *= a[at];
                }
                dh0[n * C + c] = g;
            }
    }

    private static unsafe void Simd(ScanSizes sizes, In a, In b, In h0, Ref h, int threads)
    {
        int T = sizes.T, C = sizes.C;
        fixed (float* fixedA = a, fixedB = b, fixedH0 = h0, fixedH = h)
        {
            float* atA = fixedA, atB = fixedB, atH0 = fixedH0, atH = fixedH;
            Run(sizes, threads, (row, first, n) =>
            {
                float* before = atH0 + (nint)row * C + first;
                for (nint t = 0, at = (nint)row * T * C + first; t < T; t++, at += C)
                {
                    Row(new In(atA + at, n), new In(atB + at, n), new In(before, n), new Ref(atH + at, n));
                    before = atH + at;
                }
            });
        }
    }

    private static void Row(In a, In b, In before, Ref h)
    {
        int i = 0;
        for (; i + Vector<float>.Count <= h.Length; i += Vector<float>.Count)
            (new Vector<float>(a[i..]) * new Vector<float>(before[i..]) + new Vector<float>(b[i..])).CopyTo(h[i..]);
        for (; i < h.Length; i++) h[i] = a[i] * before[i] + b[i];
    }

    private static unsafe void SimdBackward(ScanSizes sizes, In a, In h, In h0, In dh, Ref da, Ref db, Ref dh0, int threads)
    {
        int T = sizes.T, C = sizes.C;
        dh0.Clear();
        fixed (float* fixedA = a, fixedH = h, fixedH0 = h0, fixedDH = dh, fixedDA = da, fixedDB = db, fixedDH0 = dh0)
        {
            float* atA = fixedA, atH = fixedH, atH0 = fixedH0, atDH = fixedDH, atDA = fixedDA, atDB = fixedDB, atDH0 = fixedDH0;
            Run(sizes, threads, (row, first, n) =>
            {
                nint own = (nint)row * C + first;
                for (nint t = T - 1, at = ((nint)row * T + t) * C + first; t >= 0; t--, at -= C)
                    RowBackward(
                        new In(atA + at, n), new In(t == 0 ? atH0 + own : atH + at - C, n), new In(atDH + at, n),
                        new Ref(atDA + at, n), new Ref(atDB + at, n), new Ref(atDH0 + own, n));
            });
        }
    }

    private static void RowBackward(In a, In before, In dh, Ref da, Ref db, Ref g)
    {
        int i = 0;
        for (; i + Vector<float>.Count <= g.Length; i += Vector<float>.Count)
        {
            var all = new Vector<float>(g[i..]) + new Vector<float>(dh[i..]);
            all.CopyTo(db[i..]);
            (all * new Vector<float>(before[i..])).CopyTo(da[i..]);
            (all * new Vector<float>(a[i..])).CopyTo(g[i..]);
        }
        for (; i < g.Length; i++)
        {
            float all = g[i] + dh[i];
            db[i] = all;
            da[i] = all * before[i];
            g[i] = all * a[i];
        }
    }

    // Each part has some neighbouring channels of one row of the batch, all tokens of them.
    private static void Run(ScanSizes sizes, int threads, Action<int, int, int> part)
    {
        var (B, T, C) = sizes;
        int most = (int)Math.Clamp((long)T * C / FewestNumbersInPart, 1, Workers.Count(threads));
        int cuts = Math.Min(most, Math.Max(1, C / 16));
        Workers.Run(B * cuts, i =>
        {
            int first = (int)((long)C * (i % cuts) / cuts) / 16 * 16, next = i % cuts + 1 == cuts ? C : (int)((long)C * (i % cuts + 1) / cuts) / 16 * 16;
            part(i / cuts, first, next - first);
        });
    }

    private static void Require(ScanSizes sizes, In a, In b, In h0)
    {
        var (B, T, C) = sizes;
        if (B < 1 || T < 1 || C < 1) throw new ArgumentException($"A scan needs sizes of one or more, not {sizes}.");
        Shape.Require(a, [B, T, C]);
        Shape.Require(b, [B, T, C]);
        Shape.Require(h0, [B, C]);
    }
}
