using System.Numerics;
using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>e^x of many numbers, to the last bit or two; 0 below e^-86, where normal numbers are about to end.</summary>
internal static unsafe class Exponential
{
    private const float Least = -86, Most = 88;

    // ln 2 in two parts, of which the first has few enough bits for n · ln 2 to be exact.
    private const float Log2E = 1.44269504f, Ln2High = 0.693359375f, Ln2Low = -2.12194440e-4f;

    // Added to a number of moderate size, it leaves no room for a fraction: the sum's last bits are the nearest integer.
    private const float Rounder = 3 << 22;

    /// <summary>to[i] = e^from[i] for n numbers; both may be the same.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Of(float* from, float* to, int n)
    {
        int i = 0;
        for (; i <= n - Vector<float>.Count; i += Vector<float>.Count) Of(Vector.Load(from + i)).Store(to + i);
        for (; i < n; i++) to[i] = Of(new Vector<float>(from[i]))[0];
    }

    // 2^n e^r with |r| at most ln 2 / 2, and e^r by its series.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> Of(Vector<float> x)
    {
        var bounded = Vector.Min(Vector.Max(x, new(Least)), new(Most));
        var rounded = Vector.MultiplyAddEstimate(bounded, new(Log2E), new(Rounder));
        var n = rounded - new Vector<float>(Rounder);
        var r = Vector.MultiplyAddEstimate(n, new(-Ln2High), bounded);
        r = Vector.MultiplyAddEstimate(n, new(-Ln2Low), r);
        var series = Next(Next(Next(Next(new(1f / 5040), r, 1f / 720), r, 1f / 120), r, 1f / 24), r, 1f / 6);
        series = Next(Next(Next(series, r, 1f / 2), r, 1), r, 1);
        var scaled = Vector.AsVectorSingle(Vector.AsVectorInt32(series) + Vector.ShiftLeft(Vector.AsVectorInt32(rounded), 23));
        return Vector.ConditionalSelect(Vector.LessThan(x, new Vector<float>(Least)), Vector<float>.Zero, scaled);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> Next(Vector<float> series, Vector<float> r, float factor) => Vector.MultiplyAddEstimate(series, r, new(factor));
}
