using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>1 / (1 + e^-x), and what SiLU, x / (1 + e^-x), makes of it.</summary>
internal static class Sigmoid
{
    // Beyond this power of two, e^-x has no number; what is left of x is below 1e-35 there.
    private const float Most = 126;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Of<L>(L x) where L : struct, ILanes<L> => L.Create(1) / Denominator(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Silu<L>(L x) where L : struct, ILanes<L> => x / Denominator(x);

    /// <summary>The derivative of SiLU, given the sigmoid at the same place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L SiluSlope<L>(L x, L sigmoid) where L : struct, ILanes<L> =>
        sigmoid * L.MultiplyAdd(x, L.Create(1) - sigmoid, L.Create(1));

    public static float Of(float x) => 1 / (1 + MathF.Exp(-x));

    public static float SiluSlope(float x) => Of(x) * (1 + x * (1 - Of(x)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static L Denominator<L>(L x) where L : struct, ILanes<L> =>
        L.Create(1) + PowerOfTwo.Of(L.Min(x * L.Create(-PowerOfTwo.Log2E), L.Create(Most)));
}
