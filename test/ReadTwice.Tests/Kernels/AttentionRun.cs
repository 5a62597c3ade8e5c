using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

/// <summary>
/// The operands of one call of Taylor linear attention, and what the fast form or the reference makes of them. With a prefix
/// (P above zero) it calls PrefixLinearAttention, else TaylorLinearAttention.
/// </summary>
internal sealed record AttentionRun(AttentionSizes Sizes, int P, float Scale)
{
    public float[] KEnc { get; init; } = [];
    public float[] VEnc { get; init; } = [];
    public float[] MaskEnc { get; init; } = [];
    public required float[] Q { get; init; }
    public required float[] K { get; init; }
    public required float[] V { get; init; }
    public float[] Mask { get; init; } = [];
    public required float[] S0 { get; init; }
    public required float[] Z0 { get; init; }
    public float[] DO { get; init; } = [];
    public float[] DS { get; init; } = [];
    public float[] DZ { get; init; } = [];

    public sealed record Results(float[] O, float[] Den, float[] S, float[] Z);

    public sealed record Gradients(float[] DKEnc, float[] DVEnc, float[] DQ, float[] DK, float[] DV, float[] DS0, float[] DZ0);

    /// <summary>Random operands that start from the state of seven random tokens, so that every normaliser is a sum of weights.</summary>
    public static AttentionRun Random(AttentionSizes sizes, int P = 0, bool masked = false, float size = 1, int seed = 1)
    {
        var random = new Random(seed);
        var (B, T, H, K, V) = sizes;
        float[] S = new float[B * H * sizes.F * V], z = new float[B * H * sizes.F];
        var before = sizes with { T = 7 };
        float scale = 1 / MathF.Sqrt(K);
        TaylorLinearAttention.Reference(before, scale, Keys(7), Keys(7), Values(7), [], S, z, Values(7), []);
        return new AttentionRun(sizes, P, scale)
        {
            KEnc = Keys(P),
            VEnc = Values(P),
            MaskEnc = masked ? Weights(P) : [],
            Q = Keys(T),
            K = Keys(T),
            V = Values(T),
            Mask = masked ? Weights(T) : [],
            S0 = S,
            Z0 = z,
            DO = Values(T),
            DS = Numbers.Random(random, S.Length),
            DZ = Numbers.Random(random, z.Length),
        };

        float[] Keys(int tokens) => Numbers.Random(random, B * tokens * H * K, size);
        float[] Values(int tokens) => Numbers.Random(random, B * tokens * H * V);
        float[] Weights(int tokens) => [.. Enumerable.Range(0, B * tokens).Select(_ => random.Next(4) == 0 ? 0f : random.NextSingle())];
    }

    /// <summary>A piece of the sequence, without the prefix.</summary>
    public AttentionRun Tokens(int from, int to) => this with
    {
        Sizes = Sizes with { T = to - from },
        P = 0,
        Q = Part(Q, Sizes.K, from, to),
        K = Part(K, Sizes.K, from, to),
        V = Part(V, Sizes.V, from, to),
        Mask = Mask.Length == 0 ? [] : Part(Mask, 1, from, to, heads: 1),
    };

    /// <summary>Some tokens of an operand [B, T, H, width].</summary>
    public float[] Part(float[] values, int width, int from, int to, int heads = 0)
    {
        int row = (heads == 0 ? Sizes.H : heads) * width;
        return [.. Enumerable.Range(0, Sizes.B).SelectMany(b => values[((b * Sizes.T + from) * row)..((b * Sizes.T + to) * row)])];
    }

    public Results Reference()
    {
        var to = NewResults();
        PrefixLinearAttention.Reference(
            Sizes, P, Scale, KEnc, VEnc, MaskEnc, Q, K, V, Mask, to.S, to.Z, to.O, to.Den);
        return to;
    }

    public Results Forward(int threads = 1)
    {
        var to = NewResults();
        if (P == 0) TaylorLinearAttention.Forward(Sizes, Scale, Q, K, V, Mask, to.S, to.Z, to.O, to.Den, threads);
        else PrefixLinearAttention.Forward(
            Sizes, P, Scale, KEnc, VEnc, MaskEnc, Q, K, V, Mask, to.S, to.Z, to.O, to.Den, threads);
        return to;
    }

    public Results Forward(TaylorKernel kernel, int threads = 1)
    {
        var to = NewResults();
        PrefixLinearAttention.Simd(
            kernel, Sizes, P, Scale, KEnc, VEnc, MaskEnc, Q, K, V, Mask, to.S, to.Z, to.O, to.Den, threads);
        return to;
    }

    public Gradients ReferenceBackward(Results read)
    {
        var to = NewGradients();
        PrefixLinearAttention.ReferenceBackward(
            Sizes, P, Scale, KEnc, VEnc, MaskEnc, Q, K, V, Mask, read.O, read.Den, S0, Z0, DO, DS, DZ,
            to.DKEnc, to.DVEnc, to.DQ, to.DK, to.DV, to.DS0, to.DZ0);
        return to;
    }

    public Gradients Backward(Results read, int threads = 1)
    {
        var to = NewGradients();
        if (P == 0) TaylorLinearAttention.Backward(
            Sizes, Scale, Q, K, V, Mask, read.O, read.Den, S0, Z0, DO, DS, DZ, to.DQ, to.DK, to.DV, to.DS0, to.DZ0, threads);
        else PrefixLinearAttention.Backward(
            Sizes, P, Scale, KEnc, VEnc, MaskEnc, Q, K, V, Mask, read.O, read.Den, S0, Z0, DO, DS, DZ,
            to.DKEnc, to.DVEnc, to.DQ, to.DK, to.DV, to.DS0, to.DZ0, threads);
        return to;
    }

    public Gradients Backward(TaylorKernel kernel, Results read, int threads = 1)
    {
        var to = NewGradients();
        PrefixLinearAttention.SimdBackward(
            kernel, Sizes, P, Scale, KEnc, VEnc, MaskEnc, Q, K, V, Mask, read.O, read.Den, S0, Z0, DO, DS, DZ,
            to.DKEnc, to.DVEnc, to.DQ, to.DK, to.DV, to.DS0, to.DZ0, threads);
        return to;
    }

    public static void Near(Results expected, Results actual, float tolerance, string what)
    {
        Numbers.Near(expected.O, actual.O, tolerance, $"{what} o");
        Numbers.Near(expected.Den, actual.Den, tolerance, $"{what} den");
        Numbers.Near(expected.S, actual.S, tolerance, $"{what} S");
        Numbers.Near(expected.Z, actual.Z, tolerance, $"{what} z");
    }

    public static void Near(Gradients expected, Gradients actual, float tolerance, string what)
    {
        Numbers.Near(expected.DKEnc, actual.DKEnc, tolerance, $"{what} dkEnc");
        Numbers.Near(expected.DVEnc, actual.DVEnc, tolerance, $"{what} dvEnc");
        Numbers.Near(expected.DQ, actual.DQ, tolerance, $"{what} dq");
        Numbers.Near(expected.DK, actual.DK, tolerance, $"{what} dk");
        Numbers.Near(expected.DV, actual.DV, tolerance, $"{what} dv");
        Numbers.Near(expected.DS0, actual.DS0, tolerance, $"{what} dS0");
        Numbers.Near(expected.DZ0, actual.DZ0, tolerance, $"{what} dz0");
    }

    // What a kernel must overwrite starts as NaN.
    private static float[] Unwritten(int count)
    {
        var values = new float[count];
        values.AsSpan().Fill(float.NaN);
        return values;
    }

    private Results NewResults() =>
        new(Unwritten(V.Length), Unwritten(V.Length / Sizes.V), [.. S0], [.. Z0]);

    private Gradients NewGradients() => new(
        Unwritten(KEnc.Length), Unwritten(VEnc.Length), Unwritten(Q.Length), Unwritten(K.Length), Unwritten(V.Length),
        Unwritten(S0.Length), Unwritten(Z0.Length));
}
