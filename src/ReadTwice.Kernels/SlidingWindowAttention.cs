namespace ReadTwice.Kernels;

/// <summary>Sizes of attention over a window: B rows of T tokens, H query heads and KeyHeads key and value heads of width E, W keys back.</summary>
public readonly record struct WindowSizes(int B, int T, int H, int KeyHeads, int E, int W);

/// <summary>Softmax attention of each token over itself and the W tokens before it, queries and keys turned by their positions.</summary>
/// <remarks>
/// q and o are [B, T, H, E], k and v [B, T, KeyHeads, E]; H / KeyHeads neighbouring heads share a key head, and a token's row of q starts
/// qRow numbers after the one before, of k kRow, of v vRow. The state, advanced in place, is rings of turned keys and of values,
/// [B, KeyHeads, W, E]: what belongs to position p lies in slot p mod W. cos and sin are [T, turned pairs] for the positions of the
/// piece, and may be empty; pair j is channels j and j + pairs. starts [B] are the positions before which nothing but a token itself
/// is seen; empty for none. threads = 0 uses every processor. Every method computes the same values: read Reference, call Forward.
/// </remarks>
public static unsafe class SlidingWindowAttention
{
    /// <summary>Reads T tokens, of which the first stands at this position.</summary>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Forward(
        WindowSizes sizes, float scale, long position, ReadOnlySpan<long> starts, In cos, In sin,
        In q, int qRow, In k, int kRow, In v, int vRow, Ref keys, Ref values, Ref o, int threads = 0)
    {
        Require(sizes, position, starts, cos, sin, q, qRow, k, kRow, v, vRow, keys, values, o);
        fixed (long* atStarts = starts)
        fixed (float* atCos = cos, atSin = sin, atQ = q, atK = k, atV = v, atKeys = keys, atValues = values, atO = o)
        {
            var operands = new WindowOperands
            {
                Sizes = sizes,
                Scale = scale,
                Position = position,
                Pairs = cos.Length / sizes.T,
                Starts = atStarts,
                Cos = atCos,
                Sin = atSin,
                Q = atQ,
                K = atK,
                V = atV,
                QRow = qRow,
                KRow = kRow,
                VRow = vRow,
                Keys = atKeys,
                Values = atValues,
                O = atO,
            };
            switch (Width.For(sizes.E))
            {
                case 16: Run<Lanes512>(operands, threads); break;
                case 8: Run<Lanes256>(operands, threads); break;
                case 4: Run<Lanes128>(operands, threads); break;
                default: Reference(sizes, scale, position, starts, cos, sin, q, qRow, k, kRow, v, vRow, keys, values, o); break;
            }
        }
    }

    internal static void Reference(
        WindowSizes sizes, float scale, long position, ReadOnlySpan<long> starts, In cos, In sin,
        In q, int qRow, In k, int kRow, In v, int vRow, Ref keys, Ref values, Ref o)
    {
        var (B, T, H, KeyHeads, E, W) = sizes;
        int pairs = cos.Length / T;
        var (query, key, weights) = (new float[E], new float[E], new double[W + 1]);
        for (int b = 0; b < B; b++)
            for (int t = 0; t < T; t++)
            {
                long at = position + t, first = Math.Max(Math.Max(0, at - W), starts.IsEmpty ? 0 : Math.Min(starts[b], at));
                for (int h = 0; h < H; h++)
                {
                    int g = h / (H / KeyHeads), ring = (b * KeyHeads + g) * W;
                    Turn(q.Slice((b * T + t) * qRow + h * E, E), cos, sin, t, pairs, query);
                    Turn(k.Slice((b * T + t) * kRow + g * E, E), cos, sin, t, pairs, key);
                    double all = 0, largest = scale * (double)Dot(query, key);
                    for (long p = first; p < at; p++) largest = Math.Max(largest, scale * (double)Dot(query, keys.Slice((ring + (int)(p % W)) * E, E)));
                    for (long p = first; p <= at; p++)
                    {
                        In seen = p == at ? key : keys.Slice((ring + (int)(p % W)) * E, E);
                        all += weights[p - first] = Math.Exp(scale * (double)Dot(query, seen) - largest);
                    }
                    Ref to = o.Slice(((b * T + t) * H + h) * E, E);
                    to.Clear();
                    for (long p = first; p <= at; p++)
                    {
                        In value = p == at ? v.Slice((b * T + t) * vRow + g * E, E) : values.Slice((ring + (int)(p % W)) * E, E);
                        for (int e = 0; e < E; e++) to[e] += (float)(weights[p - first] / all) * value[e];
                    }
                }
                for (int g = 0; g < (W == 0 ? 0 : KeyHeads); g++)
                {
                    int slot = (b * KeyHeads + g) * W + (int)(at % W);
                    Turn(k.Slice((b * T + t) * kRow + g * E, E), cos, sin, t, pairs, keys.Slice(slot * E, E));
                    v.Slice((b * T + t) * vRow + g * E, E).CopyTo(values[(slot * E)..]);
                }
            }
    }

    private static void Run<L>(WindowOperands operands, int threads) where L : struct, ILanes<L>
    {
        if (operands.Sizes.T == 1) WindowStep<L>.Run(operands, threads);
        else WindowBlocks<L>.Run(operands, threads);
    }

    private static void Turn(In x, In cos, In sin, int t, int pairs, Ref to)
    {
        x.CopyTo(to);
        for (int j = 0; j < pairs; j++)
        {
            float c = cos[t * pairs + j], s = sin[t * pairs + j];
            (to[j], to[j + pairs]) = (x[j] * c - x[j + pairs] * s, x[j + pairs] * c + x[j] * s);
        }
    }

    private static float Dot(In a, In b)
    {
        float sum = 0;
        for (int i = 0; i < a.Length; i++) sum += a[i] * b[i];
        return sum;
    }

    private static void Require(
        WindowSizes sizes, long position, ReadOnlySpan<long> starts, In cos, In sin,
        In q, int qRow, In k, int kRow, In v, int vRow, In keys, In values, In o)
    {
        var (B, T, H, KeyHeads, E, W) = sizes;
        if (B < 1 || T < 1 || KeyHeads < 1 || H < 1 || H % KeyHeads != 0 || E < 1 || W < 0 || position < 0)
            throw new ArgumentException($"A window needs sizes of one or more, and H a multiple of KeyHeads, not {sizes} at position {position}.");
        if (!starts.IsEmpty && starts.Length != B) throw new ArgumentException($"starts holds {starts.Length} values; [{B}] needs {B}.", nameof(starts));
        int pairs = cos.Length / T;
        if (2 * pairs > E) throw new ArgumentException($"{pairs} pairs of channels are turned; a head has {E} channels.", nameof(cos));
        Shape.Require(cos, [T, pairs]);
        Shape.Require(sin, [T, pairs]);
        Shape.RequireRows(q, (long)B * T, H * E, qRow);
        Shape.RequireRows(k, (long)B * T, KeyHeads * E, kRow);
        Shape.RequireRows(v, (long)B * T, KeyHeads * E, vRow);
        Shape.Require(keys, [B, KeyHeads, W, E]);
        Shape.Require(values, [B, KeyHeads, W, E]);
        Shape.Require(o, [B, T, H, E]);
    }
}

/// <summary>Where the operands of one call lie; shapes as in <see cref="SlidingWindowAttention"/>.</summary>
internal unsafe struct WindowOperands
{
    public WindowSizes Sizes;
    public float Scale;
    public long Position;
    public int Pairs, QRow, KRow, VRow;
    public long* Starts;
    public float* Cos, Sin, Q, K, V, Keys, Values, O;

    /// <summary>How many keys the rings hold.</summary>
    public readonly int Past => (int)Math.Min(Sizes.W, Position);

    /// <summary>The first key that a token of the piece sees, of those in the rings, oldest first, and then the piece's own.</summary>
    public readonly int First(int b, int t)
    {
        int own = Past + t;
        long start = Starts == null ? 0 : Math.Min(own, Starts[b] - (Position - Past));
        return (int)Math.Max(start, Math.Max(0, own - Sizes.W));
    }

    /// <summary>The slot of the n-th oldest key in the rings.</summary>
    public readonly int Slot(int n) => (int)((Position - Past + n) % Sizes.W);

    public readonly float* Ring(float* rings, int b, int g, int slot) => rings + (((nint)b * Sizes.KeyHeads + g) * Sizes.W + slot) * Sizes.E;

    public readonly float* Row(float* rows, int row, int b, int t, int head) => rows + ((nint)b * Sizes.T + t) * row + head * Sizes.E;
}
