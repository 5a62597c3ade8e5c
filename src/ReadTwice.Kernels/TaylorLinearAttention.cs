namespace ReadTwice.Kernels;

/// <summary>
/// Causal linear attention over Taylor features (Based, arXiv 2402.18668): S ← S + φ(k)ᵀv, z ← z + φ(k), o = φ(q)S / φ(q)·z.
/// </summary>
/// <remarks>
/// q and k are [B, T, H, K], v, o and their gradients [B, T, H, V], den [B, T, H]; the state is S [B, H, F, V] and z [B, H, F],
/// advanced in place, with the features of <see cref="TaylorFeatureMap"/>. scale multiplies q·k. mask [B, T] weighs each key;
/// empty means one. Every method computes the same values: read Reference, call Forward.
/// </remarks>
public static partial class TaylorLinearAttention
{
    /// <summary>Keeps o finite where every key so far has weight zero; the authors' value.</summary>
    public const float Epsilon = 1e-12f;

    internal static readonly TaylorKernel Kernel = TaylorKernel.Widest();

    /// <summary>Reads T tokens, and writes for each what it recalls from the state that includes it.</summary>
    /// <remarks>den receives φ(q)·z + Epsilon, which Backward needs; it may be empty. threads = 0 uses every processor.</remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Forward(
        AttentionSizes sizes, float scale, In q, In k, In v, In mask, Ref S, Ref z, Ref o, Ref den = default, int threads = 0)
    {
        RequireInputs(sizes, q, k, v, mask);
        RequireState(sizes, S, z);
        Shape.Require(o, [sizes.B, sizes.T, sizes.H, sizes.V]);
        if (!den.IsEmpty) Shape.Require(den, [sizes.B, sizes.T, sizes.H]);
        Simd(Kernel, sizes, scale, q, k, v, mask, S, z, o, den, threads);
    }

    /// <summary>The gradients of everything Forward read, given those of o and of the state it left.</summary>
    /// <remarks>
    /// o and den are what Forward wrote, S0 and z0 the state before it; dS and dz, the gradients of the state after it, may be
    /// empty. dq, dk, dv, dS0 and dz0 are overwritten.
    /// </remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Backward(
        AttentionSizes sizes, float scale, In q, In k, In v, In mask, In o, In den, In S0, In z0, In dO, In dS, In dz,
        Ref dq, Ref dk, Ref dv, Ref dS0, Ref dz0, int threads = 0)
    {
        RequireInputs(sizes, q, k, v, mask);
        RequireGradients(sizes, o, den, dO, dS, dz, dq, dk, dv);
        RequireState(sizes, S0, z0);
        RequireState(sizes, dS0, dz0);
        SimdBackward(Kernel, sizes, scale, q, k, v, mask, o, den, S0, z0, dO, dS, dz, dq, dk, dv, dS0, dz0, threads);
    }

    internal static void RequireInputs(AttentionSizes sizes, In q, In k, In v, In mask)
    {
        var (B, T, H, K, V) = sizes;
        if (B < 1 || T < 1 || H < 1 || K < 1 || V < 1)
            throw new ArgumentException($"Attention needs sizes of one or more, not {sizes}.", nameof(sizes));
        Shape.Require(q, [B, T, H, K]);
        Shape.Require(k, [B, T, H, K]);
        Shape.Require(v, [B, T, H, V]);
        if (!mask.IsEmpty) Shape.Require(mask, [B, T]);
    }

    internal static void RequireState(AttentionSizes sizes, In S, In z)
    {
        Shape.Require(S, [sizes.B, sizes.H, sizes.F, sizes.V]);
        Shape.Require(z, [sizes.B, sizes.H, sizes.F]);
    }

    internal static void RequireGradients(AttentionSizes sizes, In o, In den, In dO, In dS, In dz, In dq, In dk, In dv)
    {
        var (B, T, H, K, V) = sizes;
        Shape.Require(o, [B, T, H, V]);
        Shape.Require(den, [B, T, H]);
        Shape.Require(dO, [B, T, H, V]);
        if (!dS.IsEmpty) Shape.Require(dS, [B, H, sizes.F, V]);
        if (!dz.IsEmpty) Shape.Require(dz, [B, H, sizes.F]);
        Shape.Require(dq, [B, T, H, K]);
        Shape.Require(dk, [B, T, H, K]);
        Shape.Require(dv, [B, T, H, V]);
    }
}
