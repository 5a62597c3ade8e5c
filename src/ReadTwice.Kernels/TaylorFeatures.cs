using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ReadTwice.Kernels;

/// <summary>The features of a chunk of tokens at once: [F, C], a feature is one vector operation over tokens.</summary>
internal static unsafe class TaylorFeatures<L> where L : struct, ILanes<L>
{
    private const int C = TaylorChunk<L>.C;

    /// <summary>features = weights · [1, xᵢ, xᵢxⱼ, square · xᵢ²]; the weights are one where null.</summary>
    /// <remarks>x is [K, C] and weights [C].</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Write(float* x, int K, float* weights, float square, float* features)
    {
        L squares = L.Create(square);
        for (int c = 0; c < C; c += L.Count)
        {
            L weight = weights == null ? L.Create(1) : L.Load(weights + c);
            float* single = features + c, pair = features + (1 + K) * C + c;
            weight.Store(single);
            for (int i = 0; i < K; i++)
            {
                L xi = L.Load(x + i * C + c), weighted = weight * xi;
                single += C;
                weighted.Store(single);
                float* xj = x + c;
                for (int j = 0; j < i; j++)
                {
                    (weighted * L.Load(xj)).Store(pair);
                    pair += C;
                    xj += C;
                }
                (weighted * xi * squares).Store(pair);
                pair += C;
            }
        }
    }

    /// <summary>norms[c] += Σ_f z[f] · features[f, c].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Norms(float* features, int F, float* z, float* norms)
    {
        for (int c = 0; c < C; c += 3 * L.Count)
        {
            // Two sums, because each step of one waits for the step before.
            Row3<L> even = Row3<L>.Load(norms + c), odd = default;
            float* feature = features + c;
            for (int f = 0; f < F; f += 2)
            {
                even = Row3<L>.MultiplyAdd(L.Create(z[f]), Row3<L>.Load(feature), even);
                odd = Row3<L>.MultiplyAdd(L.Create(z[f + 1]), Row3<L>.Load(feature + C), odd);
                feature += 2 * C;
            }
            (even + odd).Store(norms + c);
        }
    }

    /// <summary>z[f] += Σ_c features[f, c].</summary>
    /// <remarks>F is even, but z has room for whole fours.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddSums(float* features, int F, float* z)
    {
        for (int f = 0; f < F; f += 4)
        {
            float* feature = features + f * C;
            var sums = Transpose.Sums(RowSum(feature), RowSum(feature + C), RowSum(feature + 2 * C), RowSum(feature + 3 * C));
            (Vector128.Load(z + f) + sums).Store(z + f);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> RowSum(float* feature)
    {
        L sum = L.Load(feature);
        for (int c = L.Count; c < C; c += L.Count) sum += L.Load(feature + c);
        return L.Fold(sum);
    }
}
