using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ReadTwice.Kernels;

/// <summary>Sizes of such a reading; how many keys and values there are for the H heads.</summary>
internal readonly record struct HeadSizes(int B, int T, int H, int K, int V, int KeyGroups, int ValueGroups);

/// <summary>
/// What one reading of heads with a matrix each is given: S ← exp(step · A) S + k (weight · v)ᵀ, o = qᵀ S + skip · v for each
/// token, from the first to the last or the other way.
/// </summary>
/// <remarks>
/// q and k are [B, T, KeyGroups, K], v [B, T, ValueGroups, V]: neighbouring heads share them. step and weight are [B, T, H], A
/// [H], o [B, T, H, V], S [B, H, K, V], advanced in place. Backwards, a token's own decay comes after it and not before.
/// </remarks>
internal unsafe struct HeadOperands
{
    public HeadSizes Sizes;
    public bool Backwards;
    public float* Q, Keys, Values, Step, A, S, O;

    /// <summary>Null for one.</summary>
    public float* Weight;

    /// <summary>[H, SkipWidth], where the width is 1 or V; null for none.</summary>
    public float* Skip;

    public int SkipWidth;
}

/// <summary>The fast form of such a reading, at one width of the registers.</summary>
internal abstract class HeadKernel
{
    /// <summary>The one place that picks a width: the widest that this processor has.</summary>
    public static HeadKernel Widest() =>
        Vector512.IsHardwareAccelerated ? new HeadKernel<Lanes512>()
        : Vector256.IsHardwareAccelerated ? new HeadKernel<Lanes256>()
        : new HeadKernel<Lanes128>();

    public void Read(HeadOperands operands, int threads)
    {
        const int FewestNumbersInPart = 1 << 14;
        int heads = operands.Sizes.B * operands.Sizes.H;
        long numbers = (long)heads * operands.Sizes.T * operands.Sizes.K * operands.Sizes.V;
        int parts = (int)Math.Min(Math.Min(heads, Workers.Count(threads)), Math.Max(1, numbers / FewestNumbersInPart));
        RowWork.Run(heads, parts, (_, first, next) => Read(operands, first, next));
    }

    /// <summary>Reads all tokens through the heads from first to before next, counted over the batch.</summary>
    protected abstract void Read(HeadOperands operands, int first, int next);
}

internal sealed unsafe class HeadKernel<L> : HeadKernel where L : struct, ILanes<L>
{
    private const int Tokens = 32, Rows = 8;

    // Decays are taken out of the loops: a state stands for this much less than its numbers say, before they are brought back.
    private const float Least = 1e-9f;

    protected override void Read(HeadOperands operands, int first, int next)
    {
        using var scratch = Scratch.For(scratch => new Buffers(operands, scratch), out var buffers);
        buffers.Clear();
        bool whole = buffers.K == operands.Sizes.K && buffers.V == operands.Sizes.V;   // then the state can stay where it is
        for (int head = first; head < next; head++)
        {
            float* S = operands.S + (nint)head * operands.Sizes.K * operands.Sizes.V;
            var own = whole ? buffers with { S = S } : buffers;
            if (!whole) Copy(S, operands.Sizes.V, operands.Sizes.K, operands.Sizes.V, own.S, own.V, own.K);
            Read(operands, own, head / operands.Sizes.H, head % operands.Sizes.H);
            for (int row = 0; row < (whole ? 0 : operands.Sizes.K); row++)
                new In(own.S + row * own.V, operands.Sizes.V).CopyTo(new(S + row * operands.Sizes.V, operands.Sizes.V));
        }
    }

    private static void Read(HeadOperands operands, Buffers to, int b, int head)
    {
        int T = operands.Sizes.T, at = 0;
        while (at < T)
        {
            int count = Gather(operands, to, b, head, at, out float start, out float end);
            for (int column = 0; column < to.V;)
            {
                bool two = column + 2 * L.Count <= to.V;
                for (int row = 0; row < to.K; row += Rows)
                    if (two) Advance<Row2<L>>(to, row, column, count, start, end);
                    else Advance<L>(to, row, column, count, start, end);
                column += two ? 2 * L.Count : L.Count;
            }
            for (int i = 0; i < count; i++)
            {
                nint row = (nint)b * T + Token(operands, at + i);
                Scale(to.O + i * to.V, operands.Sizes.V, to.Left[i], operands.O + (row * operands.Sizes.H + head) * operands.Sizes.V);
            }
            at += count;
        }
        if (!operands.Backwards) return;
        float first = MathF.Exp(operands.Step[(nint)b * T * operands.Sizes.H + head] * operands.A[head]);
        Scale(to.S, to.K * to.V, first, to.S);
    }

    private static int Token(HeadOperands operands, int i) => operands.Backwards ? operands.Sizes.T - 1 - i : i;

    /// <summary>
    /// Lays out tokens until there are enough, or until too little is left of what was there at their start. The state must be
    /// multiplied by start before them and by end after them.
    /// </summary>
    private static int Gather(HeadOperands operands, Buffers to, int b, int head, int at, out float start, out float end)
    {
        var (_, T, H, K, V, keyGroups, valueGroups) = operands.Sizes;
        int count = 0;
        (start, end) = (1, 1);
        for (; count < Math.Min(Tokens, T - at); count++)
        {
            int t = Token(operands, at + count);
            float kept = Decay(operands, b, head, t);
            if (count == 0) start = kept;
            else if (end * kept < Least) break;
            else end *= kept;
            to.Left[count] = end;

            nint row = (nint)b * T + t, keys = (row * keyGroups + head * keyGroups / H) * K;
            new In(operands.Q + keys, K).CopyTo(new(to.Q + count * to.K, K));
            new In(operands.Keys + keys, K).CopyTo(new(to.Keys + count * to.K, K));
            float weight = operands.Weight == null ? 1 : operands.Weight[row * H + head];
            float* v = operands.Values + (row * valueGroups + head * valueGroups / H) * V, o = to.O + count * to.V;
            Scale(v, V, weight / end, to.Values + count * to.V);
            if (operands.Skip == null) new Ref(o, to.V).Clear();
            else if (operands.SkipWidth == 1) Scale(v, V, operands.Skip[head] / end, o);
            else Skip(v, V, operands.Skip + head * V, 1 / end, o);
        }
        return count;
    }

    private static float Decay(HeadOperands operands, int b, int head, int t)
    {
        if (operands.Backwards && ++t == operands.Sizes.T) return 1;
        return MathF.Exp(operands.Step[((nint)b * operands.Sizes.T + t) * operands.Sizes.H + head] * operands.A[head]);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scale(float* from, int n, float factor, float* to)
    {
        int i = 0;
        for (; i + L.Count <= n; i += L.Count) (L.Create(factor) * L.Load(from + i)).Store(to + i);
        for (; i < n; i++) to[i] = factor * from[i];
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Skip(float* from, int n, float* skip, float factor, float* to)
    {
        int i = 0;
        for (; i + L.Count <= n; i += L.Count) (L.Create(factor) * L.Load(skip + i) * L.Load(from + i)).Store(to + i);
        for (; i < n; i++) to[i] = factor * skip[i] * from[i];
    }

    /// <summary>Eight rows of the state in registers while the tokens pass.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Advance<R>(in Buffers at, int row, int column, int count, float start, float end) where R : struct, IRow<R, L>
    {
        nint K = at.K, V = at.V;
        float* S = at.S + row * V + column, q = at.Q + row, k = at.Keys + row, v = at.Values + column, o = at.O + column;
        L factor = L.Create(start);
        // Locals, not an array: only so does the compiler keep them in registers.
        R s0 = R.Scale(factor, R.Load(S)), s1 = R.Scale(factor, R.Load(S + V)), s2 = R.Scale(factor, R.Load(S + 2 * V));
        R s3 = R.Scale(factor, R.Load(S + 3 * V)), s4 = R.Scale(factor, R.Load(S + 4 * V)), s5 = R.Scale(factor, R.Load(S + 5 * V));
        R s6 = R.Scale(factor, R.Load(S + 6 * V)), s7 = R.Scale(factor, R.Load(S + 7 * V));
        for (int n = count; n > 0; n--)
        {
            R value = R.Load(v), sum = R.Load(o);
            s0 = R.MultiplyAdd(L.Create(k[0]), value, s0);
            sum = R.MultiplyAdd(L.Create(q[0]), s0, sum);
            s1 = R.MultiplyAdd(L.Create(k[1]), value, s1);
            sum = R.MultiplyAdd(L.Create(q[1]), s1, sum);
            s2 = R.MultiplyAdd(L.Create(k[2]), value, s2);
            sum = R.MultiplyAdd(L.Create(q[2]), s2, sum);
            s3 = R.MultiplyAdd(L.Create(k[3]), value, s3);
            sum = R.MultiplyAdd(L.Create(q[3]), s3, sum);
            s4 = R.MultiplyAdd(L.Create(k[4]), value, s4);
            sum = R.MultiplyAdd(L.Create(q[4]), s4, sum);
            s5 = R.MultiplyAdd(L.Create(k[5]), value, s5);
            sum = R.MultiplyAdd(L.Create(q[5]), s5, sum);
            s6 = R.MultiplyAdd(L.Create(k[6]), value, s6);
            sum = R.MultiplyAdd(L.Create(q[6]), s6, sum);
            s7 = R.MultiplyAdd(L.Create(k[7]), value, s7);
            sum = R.MultiplyAdd(L.Create(q[7]), s7, sum);
            sum.Store(o);
            q += K;
            k += K;
            v += V;
            o += V;
        }
        factor = L.Create(end);
        R.Scale(factor, s0).Store(S);
        R.Scale(factor, s1).Store(S + V);
        R.Scale(factor, s2).Store(S + 2 * V);
        R.Scale(factor, s3).Store(S + 3 * V);
        R.Scale(factor, s4).Store(S + 4 * V);
        R.Scale(factor, s5).Store(S + 5 * V);
        R.Scale(factor, s6).Store(S + 6 * V);
        R.Scale(factor, s7).Store(S + 7 * V);
    }

    private static void Copy(float* from, int fromRow, int rows, int columns, float* to, int toRow, int toRows)
    {
        for (int row = 0; row < toRows; row++)
        {
            var target = new Ref(to + row * toRow, toRow);
            if (row < rows) new In(from + row * fromRow, columns).CopyTo(target);
            target[(row < rows ? columns : 0)..].Clear();
        }
    }

    /// <summary>Rows filled up with zeros to whole tiles: K to a multiple of eight, V to whole registers.</summary>
    private struct Buffers
    {
        public readonly int K, V;
        public readonly float* Q, Keys, Values, O, Left;
        public float* S;
        private readonly int rows;

        public Buffers(HeadOperands operands, Scratch scratch)
        {
            K = (operands.Sizes.K + Rows - 1) / Rows * Rows;
            V = (operands.Sizes.V + L.Count - 1) / L.Count * L.Count;
            int tokens = Math.Min(operands.Sizes.T, Tokens);
            S = scratch.Take(K * V);
            Q = scratch.Take(tokens * K);
            Keys = scratch.Take(tokens * K);
            Values = scratch.Take(tokens * V);
            O = scratch.Take(tokens * V);
            Left = scratch.Take(tokens);
            rows = tokens;
        }

        public readonly void Clear()
        {
            new Ref(Q, rows * K).Clear();
            new Ref(Keys, rows * K).Clear();
            new Ref(Values, rows * V).Clear();
            new Ref(O, rows * V).Clear();
        }
    }
}
