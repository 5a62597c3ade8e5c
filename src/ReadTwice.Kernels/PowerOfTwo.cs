using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ReadTwice.Kernels;

/// <summary>Powers of two in every lane, for exponents up to 127, with a relative error of about 1e-7; below -126 as good as zero.</summary>
internal static class PowerOfTwo
{
    /// <summary>Turns an exponent of e into one of two.</summary>
    public const float Log2E = 1.44269504f;

    /// <summary>2 to the power of x: a polynomial for what lies beyond the whole number below x, put into the exponent's bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Of<L>(L x) where L : struct, ILanes<L>
    {
        if (typeof(L) != typeof(Lanes512) || !Avx512DQ.IsSupported) x = AtLeast(x);
        L f = Fraction(x);
        L p = L.MultiplyAdd(L.Create(0.0018775764751123858f), f, L.Create(0.00898934057489928f));
        p = L.MultiplyAdd(p, f, L.Create(0.0558263176465946f));
        p = L.MultiplyAdd(p, f, L.Create(0.24015361718184858f));
        p = L.MultiplyAdd(p, f, L.Create(0.6931530731842503f));
        p = L.MultiplyAdd(p, f, L.Create(0.99999992506381f));
        return Scaled(p, x);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static L AtLeast<L>(L x) where L : struct, ILanes<L>
    {
        const float Least = -126;   // where normal numbers end
        if (typeof(L) == typeof(Lanes512)) return From<L>(Vector512.Max(To512(x), Vector512.Create(Least)));
        if (typeof(L) == typeof(Lanes256)) return From<L>(Vector256.Max(To256(x), Vector256.Create(Least)));
        return From<L>(Vector128.Max(To128(x), Vector128.Create(Least)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static L Fraction<L>(L x) where L : struct, ILanes<L>
    {
        const byte ToTheFloor = 1;
        if (typeof(L) == typeof(Lanes512) && Avx512DQ.IsSupported) return From<L>(Avx512DQ.Reduce(To512(x), ToTheFloor));
        if (typeof(L) == typeof(Lanes512)) return From<L>(To512(x) - Vector512.Floor(To512(x)));
        if (typeof(L) == typeof(Lanes256)) return From<L>(To256(x) - Vector256.Floor(To256(x)));
        return From<L>(To128(x) - Vector128.Floor(To128(x)));
    }

    // p · 2^⌊x⌋
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static L Scaled<L>(L p, L x) where L : struct, ILanes<L>
    {
        const int Mantissa = 23;
        if (typeof(L) == typeof(Lanes512) && Avx512DQ.IsSupported) return From<L>(Avx512F.Scale(To512(p), To512(x)));
        if (typeof(L) == typeof(Lanes512))
            return From<L>((To512(p).AsInt32() + (Vector512.ConvertToInt32(Vector512.Floor(To512(x))) << Mantissa)).AsSingle());
        if (typeof(L) == typeof(Lanes256))
            return From<L>((To256(p).AsInt32() + (Vector256.ConvertToInt32(Vector256.Floor(To256(x))) << Mantissa)).AsSingle());
        return From<L>((To128(p).AsInt32() + (Vector128.ConvertToInt32(Vector128.Floor(To128(x))) << Mantissa)).AsSingle());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> To512<L>(L x) where L : struct => Unsafe.BitCast<L, Vector512<float>>(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> To256<L>(L x) where L : struct => Unsafe.BitCast<L, Vector256<float>>(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> To128<L>(L x) where L : struct => Unsafe.BitCast<L, Vector128<float>>(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static L From<L>(Vector512<float> x) where L : struct => Unsafe.BitCast<Vector512<float>, L>(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static L From<L>(Vector256<float> x) where L : struct => Unsafe.BitCast<Vector256<float>, L>(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static L From<L>(Vector128<float> x) where L : struct => Unsafe.BitCast<Vector128<float>, L>(x);
}
