namespace ReadTwice.Kernels;

/// <summary>Sizes of Mamba-2's recurrence: x is [B, T, H, P], the maps [B, T, G, N], the state [B, H, N, P]; H / G heads share a map.</summary>
public readonly record struct DualitySizes(int B, int T, int H, int P, int G, int N);

/// <summary>The recurrence of Mamba-2 (arXiv 2405.21060), with one decay a head: S ← exp(Δ A) S + B (Δ x)ᵀ, y = Cᵀ S + D x.</summary>
/// <remarks>
/// x and y are [B, T, H, P], delta [B, T, H], A [H], Bt and Ct [B, T, G, N], D [H] or [H, P]; the state S [B, H, N, P] is advanced
/// in place. delta is not negative and A negative. threads = 0 uses every processor.
/// </remarks>
public static partial class StateSpaceDuality
{
    private static readonly HeadKernel widest = HeadKernel.Widest();

    /// <summary>Reads T tokens, and writes for each what it recalls from the state that includes it.</summary>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Forward(DualitySizes sizes, In x, In delta, In A, In Bt, In Ct, In D, Ref S, Ref y, int threads = 0)
    {
        Require(sizes, x, delta, A, Bt, Ct, D, S);
        Shape.Require(y, [sizes.B, sizes.T, sizes.H, sizes.P]);
        Simd(widest, sizes, x, delta, A, Bt, Ct, D, S, y, threads);
    }

    /// <summary>The gradients of everything Forward read, given those of y and of the state it left.</summary>
    /// <remarks>S0 is the state before, S the one after; dS, the gradient of the latter, may be empty. The others are overwritten.</remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Backward(
        DualitySizes sizes, In x, In delta, In A, In Bt, In Ct, In D, In S0, In S, In dy, In dS,
        Ref dx, Ref ddelta, Ref dA, Ref dBt, Ref dCt, Ref dD, Ref dS0, int threads = 0)
    {
        Require(sizes, x, delta, A, Bt, Ct, D, S0);
        Require(sizes, dx, ddelta, dA, dBt, dCt, dD, dS0);
        Shape.Require(dy, [sizes.B, sizes.T, sizes.H, sizes.P]);
        Shape.Require(S, [sizes.B, sizes.H, sizes.N, sizes.P]);
        if (!dS.IsEmpty) Shape.Require(dS, [sizes.B, sizes.H, sizes.N, sizes.P]);
        SimdBackward(widest, sizes, x, delta, A, Bt, Ct, D, S0, S, dy, dS, dx, ddelta, dA, dBt, dCt, dD, dS0, threads);
    }

    private static void Require(DualitySizes sizes, In x, In delta, In A, In Bt, In Ct, In D, In S)
    {
        var (B, T, H, P, G, N) = sizes;
        if (B < 1 || T < 1 || P < 1 || N < 1 || G < 1 || H < G || H % G != 0)
            throw new ArgumentException($"Sizes of one or more are needed, and heads that divide into the groups, not {sizes}.", nameof(sizes));
        Shape.Require(x, [B, T, H, P]);
        Shape.Require(delta, [B, T, H]);
        Shape.Require(A, [H]);
        Shape.Require(Bt, [B, T, G, N]);
        Shape.Require(Ct, [B, T, G, N]);
        if (D.Length != H) Shape.Require(D, [H, P]);
        Shape.Require(S, [B, H, N, P]);
    }
}
