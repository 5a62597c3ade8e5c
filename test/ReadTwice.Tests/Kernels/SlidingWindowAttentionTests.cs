using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

public sealed class SlidingWindowAttentionTests
{
    // Sums of some hundred terms in another order, and a polynomial for the exponential.
    private const float Tolerance = 1e-5f;

    /// <summary>Tokens, heads, key heads, width, turned pairs, window.</summary>
    public static TheoryData<int, int, int, int, int, int> Sizes => new()
    {
        { 1, 2, 1, 3, 1, 4 }, { 5, 2, 2, 3, 0, 4 }, { 1, 4, 2, 4, 2, 3 }, { 9, 1, 1, 5, 2, 0 }, { 1, 2, 2, 8, 4, 0 }, { 63, 4, 2, 8, 3, 7 },
        { 64, 2, 1, 16, 8, 64 }, { 65, 3, 3, 20, 5, 17 }, { 1, 6, 3, 20, 10, 33 }, { 130, 2, 2, 64, 32, 50 }, { 1, 2, 2, 64, 32, 128 }, { 300, 1, 1, 33, 16, 200 },
    };

    [Theory, MemberData(nameof(Sizes))]
    public void The_fast_form_gives_what_the_reference_gives(int T, int H, int keyHeads, int E, int pairs, int W)
    {
        foreach (long position in (long[])[0, 1, 3, W, 5 * W + 2])
            foreach (bool padded in (bool[])[false, true])
            {
                var run = new Run(new(2, T, H, keyHeads, E, W), pairs, position, padded);
                var (keys, values, o) = run.Read(SlidingWindowAttention.Reference);
                foreach (int threads in (int[])[1, 3])
                {
                    var fast = run.Read((sizes, scale, at, starts, cos, sin, q, qRow, k, kRow, v, vRow, ringK, ringV, to) =>
                        SlidingWindowAttention.Forward(sizes, scale, at, starts, cos, sin, q, qRow, k, kRow, v, vRow, ringK, ringV, to, threads));
                    Numbers.Near(o, fast.O, Tolerance, $"o from {position}");
                    Numbers.Near(keys, fast.Keys, Tolerance, $"keys from {position}");
                    Numbers.Near(values, fast.Values, 0, $"values from {position}");
                }
            }
    }

    [Theory, InlineData(1), InlineData(6), InlineData(31)]
    public void Pieces_that_hand_the_rings_over_give_what_one_call_gives(int piece)
    {
        const int T = 90;
        var whole = new Run(new(2, T, 2, 1, 16, 20), 8, 0, true);
        var expected = whole.Read(Fast);
        float[] keys = whole.Keys, values = whole.Values;
        for (int at = 0; at < T; at += piece)
        {
            int n = Math.Min(piece, T - at);
            var part = whole.Piece(at, n) with { Keys = keys, Values = values };
            (keys, values, float[] o) = part.Read(Fast);
            for (int b = 0; b < 2; b++)
                Numbers.Near(expected.O.AsSpan((b * T + at) * 32, n * 32), o.AsSpan(b * n * 32, n * 32), Tolerance, $"o from {at}");
        }
        Numbers.Near(expected.Keys, keys, Tolerance, "keys");
        Numbers.Near(expected.Values, values, 0, "values");
    }

    [Fact]
    public void A_window_of_equal_keys_gives_the_mean_of_its_values()
    {
        const int T = 20, W = 4, E = 16;
        float[] q = Numbers.Random(new(1), T * E), k = [.. Enumerable.Repeat(0.5f, T * E)], v = new float[T * E], o = new float[T * E];
        for (int i = 0; i < v.Length; i++) v[i] = i / E;
        SlidingWindowAttention.Forward(new(1, T, 1, 1, E, W), 1, 0, [], [], [], q, E, k, E, v, E, new float[W * E], new float[W * E], o);
        for (int t = 0; t < T; t++) Assert.Equal(t <= W ? t / 2f : t - W / 2f, o[t * E], Tolerance * T);
    }

    [Fact]
    public void Heads_that_do_not_divide_by_the_key_heads_are_refused()
    {
        var error = Assert.Throws<ArgumentException>(() => SlidingWindowAttention.Forward(
            new(1, 1, 3, 2, 4, 1), 1, 0, [], [], [], new float[12], 12, new float[8], 8, new float[8], 8, new float[8], new float[8], new float[12]));
        Assert.Contains("H a multiple of KeyHeads", error.Message, StringComparison.Ordinal);
    }

    private static void Fast(
        WindowSizes sizes, float scale, long position, ReadOnlySpan<long> starts, In cos, In sin,
        In q, int qRow, In k, int kRow, In v, int vRow, Ref keys, Ref values, Ref o) =>
        SlidingWindowAttention.Forward(sizes, scale, position, starts, cos, sin, q, qRow, k, kRow, v, vRow, keys, values, o);

    private delegate void Attention(
        WindowSizes sizes, float scale, long position, ReadOnlySpan<long> starts, In cos, In sin,
        In q, int qRow, In k, int kRow, In v, int vRow, Ref keys, Ref values, Ref o);

    /// <summary>Queries, keys and values side by side in rows, as one projection gives them.</summary>
    private sealed record Run(WindowSizes Sizes, int Pairs, long Position, bool Padded)
    {
        public int Row => (Sizes.H + 2 * Sizes.KeyHeads) * Sizes.E + 1;
        public float[] Rows { get; init; } = Numbers.Random(new(1), Sizes.B * Sizes.T * ((Sizes.H + 2 * Sizes.KeyHeads) * Sizes.E + 1), 2);
        public float[] Cos { get; init; } = Numbers.Random(new(2), Sizes.T * Pairs);
        public float[] Sin { get; init; } = Numbers.Random(new(3), Sizes.T * Pairs);
        public long[] Starts { get; init; } = Padded ? [2, Position + Sizes.T / 2] : [];
        public float[] Keys { get; init; } = Ring(4, Sizes, Position);
        public float[] Values { get; init; } = Ring(5, Sizes, Position);

        public Run Piece(int at, int n) => this with
        {
            Sizes = Sizes with { T = n },
            Position = Position + at,
            Rows = [.. Enumerable.Range(0, Sizes.B).SelectMany(b => Rows[((b * Sizes.T + at) * Row)..((b * Sizes.T + at + n) * Row)])],
            Cos = Cos[(at * Pairs)..((at + n) * Pairs)],
            Sin = Sin[(at * Pairs)..((at + n) * Pairs)],
        };

        public (float[] Keys, float[] Values, float[] O) Read(Attention attention)
        {
            var (B, T, H, KeyHeads, E, _) = Sizes;
            int q = H * E, k = KeyHeads * E, rows = (B * T - 1) * Row;
            Guarded keys = new(Keys, 1), values = new(Values, 2), o = new(new float[B * T * H * E], 3), all = new(Rows, 1);
            attention(
                Sizes, 0.3f, Position, Starts, new Guarded(Cos, 1).Span, new Guarded(Sin, 1).Span, all.Span[..(rows + q)], Row,
                all.Span.Slice(q, rows + k), Row, all.Span.Slice(q + k, rows + k), Row, keys.Span, values.Span, o.Span);
            keys.RequireIntact();
            values.RequireIntact();
            o.RequireIntact();
            return (Written(keys), Written(values), o.Span.ToArray());
        }

        private static float[] Written(Guarded ring) => [.. ring.Span.ToArray().Select(value => float.IsNaN(value) ? 0 : value)];

        // What was not written yet is not to be read: NaN would show it.
        private static float[] Ring(int seed, WindowSizes sizes, long position)
        {
            float[] ring = Numbers.Random(new(seed), sizes.B * sizes.KeyHeads * sizes.W * sizes.E, 2);
            for (int i = 0; i < ring.Length; i++)
                if (i / sizes.E % sizes.W >= position) ring[i] = float.NaN;
            return ring;
        }
    }
}
