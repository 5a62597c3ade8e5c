using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>What attention over a window does with single rows: turns them, weighs them, and keeps the newest.</summary>
internal static unsafe class WindowRows<L> where L : struct, ILanes<L>
{
    /// <summary>A score that is no score: two to its power is nothing.</summary>
    public const float Unseen = -1e30f;

    /// <summary>Turns the pairs of a head of token t, and multiplies all by a factor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Turn(in WindowOperands operands, int t, float factor, float* from, float* to)
    {
        nint pairs = operands.Pairs, E = operands.Sizes.E, j = 0;
        float* cos = operands.Cos + t * pairs, sin = operands.Sin + t * pairs;
        L factors = L.Create(factor);
        for (; j <= pairs - L.Count; j += L.Count)
        {
            L a = L.Load(from + j) * factors, b = L.Load(from + pairs + j) * factors, c = L.Load(cos + j), s = L.Load(sin + j);
            (a * c - b * s).Store(to + j);
            L.MultiplyAdd(b, c, a * s).Store(to + pairs + j);
        }
        for (; j < pairs; j++)
        {
            float a = from[j] * factor, b = from[pairs + j] * factor;
            (to[j], to[pairs + j]) = (a * cos[j] - b * sin[j], b * cos[j] + a * sin[j]);
        }
        j = 2 * pairs;
        for (; j <= E - L.Count; j += L.Count) (L.Load(from + j) * factors).Store(to + j);
        for (; j < E; j++) to[j] = from[j] * factor;
    }

    /// <summary>Turns whole registers of scores, binary logarithms, into weights, and gives one over their sum.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Weigh(float* scores, nint n)
    {
        L largest = L.Load(scores);
        for (nint i = L.Count; i < n; i += L.Count) largest = L.Max(largest, L.Load(scores + i));
        float* lanes = stackalloc float[L.Count];
        largest.Store(lanes);
        float most = lanes[0];
        for (int i = 1; i < L.Count; i++) most = Math.Max(most, lanes[i]);
        L sum = default;
        for (nint i = 0; i < n; i += L.Count)
        {
            L weight = PowerOfTwo.Of(L.Load(scores + i) - L.Create(most));
            weight.Store(scores + i);
            sum += weight;
        }
        return 1 / L.Sum(sum);
    }

    /// <summary>Puts what the window will see of the piece into the rings.</summary>
    public static void Keep(in WindowOperands operands, int b, int g)
    {
        var (_, T, _, _, E, W) = operands.Sizes;
        for (int t = Math.Max(0, T - W); t < T; t++)
        {
            int slot = (int)((operands.Position + t) % W);
            Turn(operands, t, 1, operands.Row(operands.K, operands.KRow, b, t, g), operands.Ring(operands.Keys, b, g, slot));
            new In(operands.Row(operands.V, operands.VRow, b, t, g), E).CopyTo(new(operands.Ring(operands.Values, b, g, slot), E));
        }
    }
}
