using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

/// <summary>The operands of one call of linear attention with decay, and what the fast form or the reference makes of them.</summary>
internal sealed record GatedRun(AttentionSizes Sizes, float Scale)
{
    public required float[] Q { get; init; }
    public required float[] K { get; init; }
    public required float[] V { get; init; }
    public required float[] S0 { get; init; }
    public float[] KeyDecay { get; init; } = [];
    public float[] ValueDecay { get; init; } = [];

    /// <summary>Random operands, with logarithms of decays from 0 to -depth.</summary>
    public static GatedRun Random(AttentionSizes sizes, Fading fading, float depth = 1)
    {
        var random = new Random(sizes.GetHashCode());
        var (B, T, H, K, V) = sizes;
        float[] Decay(int count) => [.. Numbers.Random(random, count, depth).Select(g => -Math.Abs(g))];
        return new(sizes, 1 / MathF.Sqrt(K))
        {
            Q = Numbers.Random(random, B * T * H * K),
            K = Numbers.Random(random, B * T * H * K),
            V = Numbers.Random(random, B * T * H * V),
            S0 = Numbers.Random(random, B * H * K * V),
            KeyDecay = fading == Fading.Rows ? Decay(B * T * H * K) : fading == Fading.Heads ? Decay(B * T * H) : [],
            ValueDecay = fading == Fading.Columns ? Decay(B * T * H * V) : [],
        };
    }

    /// <summary>The same for some of the tokens, from another state.</summary>
    public GatedRun Tokens(int from, int to, float[] state) => this with
    {
        Sizes = Sizes with { T = to - from },
        Q = Part(Q, from, to),
        K = Part(K, from, to),
        V = Part(V, from, to),
        KeyDecay = Part(KeyDecay, from, to),
        ValueDecay = Part(ValueDecay, from, to),
        S0 = state,
    };

    /// <summary>Some tokens of [B, T, ..].</summary>
    public float[] Part(float[] values, int from, int to)
    {
        int row = values.Length / (Sizes.B * Sizes.T);
        return [.. Enumerable.Range(0, Sizes.B).SelectMany(b => values[((b * Sizes.T + from) * row)..((b * Sizes.T + to) * row)])];
    }

    public (float[] O, float[] S) Reference()
    {
        float[] S = [.. S0], o = new float[V.Length];
        GatedLinearAttention.Reference(Sizes, Scale, Q, K, V, KeyDecay, ValueDecay, S, o);
        return (o, S);
    }

    /// <summary>Runs the fast form on memory that ends where the operands do, and sees that nothing beyond is touched.</summary>
    public (float[] O, float[] S) Forward(GatedKernel? kernel = null, int threads = 1)
    {
        int shift = 0;
        Guarded Guard(In values) => new(values, shift++ % 5);
        Guarded q = Guard(Q), k = Guard(K), v = Guard(V), S = Guard(S0), o = Guard(new float[V.Length]), g = Guard(KeyDecay), w = Guard(ValueDecay);
        GatedLinearAttention.Forward(kernel ?? GatedLinearAttention.Kernel, Sizes, Scale, q.Span, k.Span, v.Span, g.Span, w.Span, S.Span, o.Span, threads);
        foreach (var operand in (Guarded[])[q, k, v, S, o, g, w]) operand.RequireIntact();
        return (o.Span.ToArray(), S.Span.ToArray());
    }
}
