using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>Attention of one token over a window: keys and values are read where they lie in the rings.</summary>
internal static unsafe class WindowStep<L> where L : struct, ILanes<L>
{
    private const int KeysAtOnce = 4;

    public static void Run(WindowOperands operands, int threads)
    {
        var (B, _, H, KeyHeads, E, W) = operands.Sizes;
        RowWork.Run(B * H, RowWork.Parts(B * H, 2 * (W + 1) * E, threads), (_, first, next) =>
        {
            using var scratch = Scratch.For(scratch => new Buffers(operands.Sizes, scratch), out var buffers);
            for (int head = first; head < next; head++) Attend(operands, buffers, head / H, head % H);
        });
        for (int i = 0; i < B * KeyHeads; i++) WindowRows<L>.Keep(operands, i / KeyHeads, i % KeyHeads);   // when nobody reads the old ones any more
    }

    private static void Attend(WindowOperands operands, Buffers to, int b, int h)
    {
        var (_, _, H, KeyHeads, E, _) = operands.Sizes;
        int g = h / (H / KeyHeads), past = operands.Past, whole = (past + L.Count) / L.Count * L.Count;
        WindowRows<L>.Turn(operands, 0, operands.Scale * PowerOfTwo.Log2E, operands.Row(operands.Q, operands.QRow, b, 0, h), to.Query);
        WindowRows<L>.Turn(operands, 0, 1, operands.Row(operands.K, operands.KRow, b, 0, g), to.Key);
        Score(E, to.Query, operands.Ring(operands.Keys, b, g, 0), past, to.Scores);
        Score(E, to.Query, to.Key, 1, to.Scores + past);
        for (int n = operands.First(b, 0) - 1; n >= 0; n--) to.Scores[n < past ? operands.Slot(n) : n] = WindowRows<L>.Unseen;
        new Ref(to.Scores + past + 1, whole - past - 1).Fill(WindowRows<L>.Unseen);
        float factor = WindowRows<L>.Weigh(to.Scores, whole);
        Mix(
            E, to.Scores, operands.Ring(operands.Values, b, g, 0), past, operands.Row(operands.V, operands.VRow, b, 0, g), factor,
            operands.Row(operands.O, H * E, b, 0, h));
    }

    /// <summary>Products of a query with rows of keys; there is room for three more.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Score(nint E, float* query, float* keys, int count, float* scores)
    {
        for (int i = 0; i < count; i += KeysAtOnce)
        {
            int last = count - 1;
            float* k0 = keys + i * E, k1 = keys + Math.Min(i + 1, last) * E, k2 = keys + Math.Min(i + 2, last) * E, k3 = keys + Math.Min(i + 3, last) * E;
            L s0 = default, s1 = default, s2 = default, s3 = default;
            for (nint at = 0; at < E; at += L.Count)
            {
                nint e = Math.Min(at, E - L.Count);
                L q = L.From(L.Load(query + e), (int)(at - e));
                s0 = L.MultiplyAdd(q, L.Load(k0 + e), s0);
                s1 = L.MultiplyAdd(q, L.Load(k1 + e), s1);
                s2 = L.MultiplyAdd(q, L.Load(k2 + e), s2);
                s3 = L.MultiplyAdd(q, L.Load(k3 + e), s3);
            }
            System.Runtime.Intrinsics.Vector128.Store(Transpose.Sums(L.Fold(s0), L.Fold(s1), L.Fold(s2), L.Fold(s3)), scores + i);
        }
    }

    /// <summary>o ← factor · (values weighted by all scores but the last, which weighs the token's own).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Mix(nint E, float* weights, float* values, int count, float* own, float factor, float* o)
    {
        for (nint at = 0; at < E; at += L.Count)
        {
            nint e = Math.Min(at, E - L.Count);
            L even = L.Create(weights[count]) * L.Load(own + e), odd = default;
            float* value = values + e;
            int i = 0;
            for (; i + 1 < count; i += 2, value += 2 * E)
            {
                even = L.MultiplyAdd(L.Create(weights[i]), L.Load(value), even);
                odd = L.MultiplyAdd(L.Create(weights[i + 1]), L.Load(value + E), odd);
            }
            if (i < count) even = L.MultiplyAdd(L.Create(weights[i]), L.Load(value), even);
            ((even + odd) * L.Create(factor)).Store(o + e);
        }
    }

    private readonly struct Buffers(WindowSizes sizes, Scratch scratch)
    {
        public readonly float* Query = scratch.Take(sizes.E);
        public readonly float* Key = scratch.Take(sizes.E);
        public readonly float* Scores = scratch.Take(checked(sizes.W + KeysAtOnce + Lanes512.Count));
    }
}
