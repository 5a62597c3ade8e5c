using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using ReadTwice.Kernels;

namespace ReadTwice.Bench;

/// <summary>The most multiplications and additions that the processor does, measured where and when kernels are.</summary>
public static class FmaPeak
{
    private const int Chains = 16, Turns = 200_000;

    /// <summary>Floating-point operations of one run: a multiplication and an addition count as two.</summary>
    public static double Flops(int threads) => 2.0 * Chains * Lanes * Turns * threads;

    private static int Lanes => Vector512.IsHardwareAccelerated ? 16 : Vector256.IsHardwareAccelerated ? 8 : 4;

    /// <summary>Runs chains of fused multiply-adds, independent of each other and of memory, on every thread.</summary>
    public static Contender Contender(int threads) => new("FMA peak", () => Workers.Run(threads, _ => Burn()));

    /// <summary>What operations would take at the peak that was measured in the same rounds: the ratio is the share of it that is reached.</summary>
    public static Row Row(string bench, IReadOnlyDictionary<string, long> shape, Times ours, Times peak, double flops, int threads)
    {
        double ideal = flops / (Flops(threads) / peak.Median);
        return new(bench, shape, ours.Median * 1000, ours.Spread, "the same operations at the FMA peak", ideal * 1000, peak.Spread, double.NaN);
    }

    private static void Burn()
    {
        float kept = Vector512.IsHardwareAccelerated ? Burn512() : Vector256.IsHardwareAccelerated ? Burn256() : Burn128();
        if (kept == 12345) throw new InvalidOperationException("unreachable: keeps the loop from being removed");
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Burn512()
    {
        var (a, b) = (Vector512.Create(0.999f), Vector512.Create(0.001f));
        Vector512<float> c0 = a, c1 = a, c2 = a, c3 = a, c4 = a, c5 = a, c6 = a, c7 = a, c8 = a, c9 = a, cA = a, cB = a, cC = a, cD = a, cE = a, cF = a;
        for (int i = 0; i < Turns; i++)
        {
            c0 = Vector512.FusedMultiplyAdd(c0, a, b); c1 = Vector512.FusedMultiplyAdd(c1, a, b); c2 = Vector512.FusedMultiplyAdd(c2, a, b); c3 = Vector512.FusedMultiplyAdd(c3, a, b);
            c4 = Vector512.FusedMultiplyAdd(c4, a, b); c5 = Vector512.FusedMultiplyAdd(c5, a, b); c6 = Vector512.FusedMultiplyAdd(c6, a, b); c7 = Vector512.FusedMultiplyAdd(c7, a, b);
            c8 = Vector512.FusedMultiplyAdd(c8, a, b); c9 = Vector512.FusedMultiplyAdd(c9, a, b); cA = Vector512.FusedMultiplyAdd(cA, a, b); cB = Vector512.FusedMultiplyAdd(cB, a, b);
            cC = Vector512.FusedMultiplyAdd(cC, a, b); cD = Vector512.FusedMultiplyAdd(cD, a, b); cE = Vector512.FusedMultiplyAdd(cE, a, b); cF = Vector512.FusedMultiplyAdd(cF, a, b);
        }
        return Vector512.Sum(c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9 + cA + cB + cC + cD + cE + cF);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Burn256()
    {
        var (a, b) = (Vector256.Create(0.999f), Vector256.Create(0.001f));
        Vector256<float> c0 = a, c1 = a, c2 = a, c3 = a, c4 = a, c5 = a, c6 = a, c7 = a;
        for (int i = 0; i < 2 * Turns; i++)
        {
            c0 = Vector256.FusedMultiplyAdd(c0, a, b); c1 = Vector256.FusedMultiplyAdd(c1, a, b); c2 = Vector256.FusedMultiplyAdd(c2, a, b); c3 = Vector256.FusedMultiplyAdd(c3, a, b);
            c4 = Vector256.FusedMultiplyAdd(c4, a, b); c5 = Vector256.FusedMultiplyAdd(c5, a, b); c6 = Vector256.FusedMultiplyAdd(c6, a, b); c7 = Vector256.FusedMultiplyAdd(c7, a, b);
        }
        return Vector256.Sum(c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Burn128()
    {
        var (a, b) = (Vector128.Create(0.999f), Vector128.Create(0.001f));
        Vector128<float> c0 = a, c1 = a, c2 = a, c3 = a, c4 = a, c5 = a, c6 = a, c7 = a;
        for (int i = 0; i < 2 * Turns; i++)
        {
            c0 = c0 * a + b; c1 = c1 * a + b; c2 = c2 * a + b; c3 = c3 * a + b;
            c4 = c4 * a + b; c5 = c5 * a + b; c6 = c6 * a + b; c7 = c7 * a + b;
        }
        return Vector128.Sum(c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7);
    }
}
