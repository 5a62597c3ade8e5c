namespace ReadTwice.Kernels;

/// <summary>
/// Prefix linear attention (JRT-RNN, arXiv 2407.05483): P encoder keys and values are in the state before the first query
/// reads it; from there on it is <see cref="TaylorLinearAttention"/>.
/// </summary>
/// <remarks>
/// kEnc is [B, P, H, K] and vEnc [B, P, H, V], maskEnc [B, P] or empty; everything else is as there.
/// </remarks>
public static class PrefixLinearAttention
{
    /// <summary>Adds the prefix to the state, then reads T tokens causally.</summary>
    /// <remarks>den receives φ(q)·z + Epsilon, which Backward needs; it may be empty. threads = 0 uses every processor.</remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Forward(
        AttentionSizes sizes, int P, float scale, In kEnc, In vEnc, In maskEnc, In q, In k, In v, In mask,
        Ref S, Ref z, Ref o, Ref den = default, int threads = 0)
    {
        RequirePrefix(sizes, P, kEnc, vEnc, maskEnc);
        TaylorLinearAttention.RequireInputs(sizes, q, k, v, mask);
        TaylorLinearAttention.RequireState(sizes, S, z);
        Shape.Require(o, [sizes.B, sizes.T, sizes.H, sizes.V]);
        if (!den.IsEmpty) Shape.Require(den, [sizes.B, sizes.T, sizes.H]);
        Simd(TaylorLinearAttention.Kernel, sizes, P, scale, kEnc, vEnc, maskEnc, q, k, v, mask, S, z, o, den, threads);
    }

    /// <summary>The gradients of everything Forward read, given those of o and of the state it left.</summary>
    /// <remarks>
    /// o and den are what Forward wrote, S0 and z0 the state before the prefix; dS and dz, the gradients of the state after
    /// the last token, may be empty. All results are overwritten.
    /// </remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Backward(
        AttentionSizes sizes, int P, float scale, In kEnc, In vEnc, In maskEnc, In q, In k, In v, In mask, In o, In den,
        In S0, In z0, In dO, In dS, In dz, Ref dkEnc, Ref dvEnc, Ref dq, Ref dk, Ref dv, Ref dS0, Ref dz0, int threads = 0)
    {
        RequirePrefix(sizes, P, kEnc, vEnc, maskEnc);
        Shape.Require(dkEnc, [sizes.B, P, sizes.H, sizes.K]);
        Shape.Require(dvEnc, [sizes.B, P, sizes.H, sizes.V]);
        TaylorLinearAttention.RequireInputs(sizes, q, k, v, mask);
        TaylorLinearAttention.RequireGradients(sizes, o, den, dO, dS, dz, dq, dk, dv);
        TaylorLinearAttention.RequireState(sizes, S0, z0);
        TaylorLinearAttention.RequireState(sizes, dS0, dz0);
        SimdBackward(
            TaylorLinearAttention.Kernel, sizes, P, scale, kEnc, vEnc, maskEnc, q, k, v, mask, o, den, S0, z0, dO, dS, dz,
            dkEnc, dvEnc, dq, dk, dv, dS0, dz0, threads);
    }

    internal static unsafe void Simd(
        TaylorKernel kernel, AttentionSizes sizes, int P, float scale, In kEnc, In vEnc, In maskEnc, In q, In k, In v, In mask,
        Ref S, Ref z, Ref o, Ref den, int threads)
    {
        var (_, _, H, K, V) = sizes;
        fixed (float* atK = kEnc, atV = vEnc, atMask = maskEnc, atS = S, atZ = z)
        {
            var keys = new TaylorKeys(P, new(atK, P, H, K), new(atV, P, H, V), new(atMask, P, 1, 1));
            kernel.Add(new TaylorStates { Sizes = sizes, Pieces = 1, S = atS, Z = atZ }, keys, Workers.Count(threads));
        }
        TaylorLinearAttention.Simd(kernel, sizes, scale, q, k, v, mask, S, z, o, den, threads);
    }

    internal static unsafe void SimdBackward(
        TaylorKernel kernel, AttentionSizes sizes, int P, float scale, In kEnc, In vEnc, In maskEnc, In q, In k, In v, In mask,
        In o, In den, In S0, In z0, In dO, In dS, In dz, Ref dkEnc, Ref dvEnc, Ref dq, Ref dk, Ref dv, Ref dS0, Ref dz0,
        int threads)
    {
        var (_, _, H, K, V) = sizes;
        fixed (float* atK = kEnc, atV = vEnc, atMask = maskEnc, atDK = dkEnc, atDV = dvEnc, atDS = dS0, atDZ = dz0)
        {
            var keys = new TaylorKeys(P, new(atK, P, H, K), new(atV, P, H, V), new(atMask, P, 1, 1));
            using var scratch = Scratch.For(scratch => TaylorStates.Take(sizes, 1, scratch), out var states);
            S0.CopyTo(new Ref(states.S, S0.Length));
            z0.CopyTo(new Ref(states.Z, z0.Length));
            kernel.Add(states, keys, Workers.Count(threads));
            TaylorLinearAttention.SimdBackward(
                kernel, sizes, scale, q, k, v, mask, o, den, new In(states.S, S0.Length), new In(states.Z, z0.Length), dO, dS, dz,
                dq, dk, dv, dS0, dz0, threads);
            var gradient = new TaylorStates { Sizes = sizes, Pieces = 1, S = atDS, Z = atDZ };
            kernel.AddBackward(gradient, keys, new(atDK, P, H, K), new(atDV, P, H, V), Workers.Count(threads));
        }
    }

    internal static void Reference(
        AttentionSizes sizes, int P, float scale, In kEnc, In vEnc, In maskEnc, In q, In k, In v, In mask,
        Ref S, Ref z, Ref o, Ref den)
    {
        AddPrefix(sizes, P, kEnc, vEnc, maskEnc, S, z);
        TaylorLinearAttention.Reference(sizes, scale, q, k, v, mask, S, z, o, den);
    }

    internal static void ReferenceBackward(
        AttentionSizes sizes, int P, float scale, In kEnc, In vEnc, In maskEnc, In q, In k, In v, In mask, In o, In den,
        In S0, In z0, In dO, In dS, In dz, Ref dkEnc, Ref dvEnc, Ref dq, Ref dk, Ref dv, Ref dS0, Ref dz0)
    {
        var (B, _, H, K, V) = sizes;
        int F = sizes.F;
        Ref S = S0.ToArray(), z = z0.ToArray();
        AddPrefix(sizes, P, kEnc, vEnc, maskEnc, S, z);
        TaylorLinearAttention.ReferenceBackward(
            sizes, scale, q, k, v, mask, o, den, S, z, dO, dS, dz, dq, dk, dv, dS0, dz0);
        for (int b = 0; b < B; b++)
            for (int p = 0; p < P; p++)
                for (int h = 0; h < H; h++)
                {
                    int row = (b * P + p) * H + h, head = (b * H + h) * F;
                    TaylorLinearAttention.ReferenceWriteBackward(
                        kEnc.Slice(row * K, K), vEnc.Slice(row * V, V), TaylorLinearAttention.Weight(maskEnc, b * P + p),
                        dS0.Slice(head * V, F * V), dz0.Slice(head, F), dkEnc.Slice(row * K, K), dvEnc.Slice(row * V, V));
                }
    }

    private static void AddPrefix(AttentionSizes sizes, int P, In kEnc, In vEnc, In maskEnc, Ref S, Ref z)
    {
        var (B, _, H, K, V) = sizes;
        int F = sizes.F;
        Ref keys = new float[F];
        for (int b = 0; b < B; b++)
            for (int p = 0; p < P; p++)
                for (int h = 0; h < H; h++)
                {
                    int row = (b * P + p) * H + h, head = (b * H + h) * F;
                    TaylorLinearAttention.Keys(kEnc.Slice(row * K, K), TaylorLinearAttention.Weight(maskEnc, b * P + p), keys);
                    for (int f = 0; f < F; f++)
                    {
                        z[head + f] += keys[f];
                        for (int j = 0; j < V; j++) S[(head + f) * V + j] += keys[f] * vEnc[row * V + j];
                    }
                }
    }

    private static void RequirePrefix(AttentionSizes sizes, int P, In kEnc, In vEnc, In maskEnc)
    {
        if (P < 0) throw new ArgumentException($"A prefix has no tokens or more, not P = {P}.", nameof(P));
        Shape.Require(kEnc, [sizes.B, P, sizes.H, sizes.K]);
        Shape.Require(vEnc, [sizes.B, P, sizes.H, sizes.V]);
        if (!maskEnc.IsEmpty) Shape.Require(maskEnc, [sizes.B, P]);
    }
}
