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

    /// <summary>z[f] += Σ_c weights[c] · features[f, c]; the weights are one where null.</summary>
    /// <remarks>F is in whole fours.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddSums(float* features, int F, float* weights, float* z)
    {
        for (int f = 0; f < F; f += 4)
        {
            float* feature = features + f * C;
            var sums = weights == null
                ? Transpose.Sums(Sum(feature), Sum(feature + C), Sum(feature + 2 * C), Sum(feature + 3 * C))
                : Transpose.Sums(
                    Sum(feature, weights), Sum(feature + C, weights), Sum(feature + 2 * C, weights), Sum(feature + 3 * C, weights));
            (Vector128.Load(z + f) + sums).Store(z + f);
        }
    }

    /// <summary>dx = weights · ∂features/∂x · gradient, where the feature of a square is square / 2 · xᵢ²; the weights are one where null.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Chain(float* gradient, float* x, int K, float* weights, float square, float* dx)
    {
        L squares = L.Create(square);
        for (int c = 0; c < C; c += L.Count)
        {
            for (int i = 0; i < K; i++) L.Load(gradient + (1 + i) * C + c).Store(dx + i * C + c);
            float* pair = gradient + (1 + K) * C + c;
            for (int i = 0; i < K; i++)
            {
                L xi = L.Load(x + i * C + c), sum = L.Load(dx + i * C + c);
                float* xj = x + c, dxj = dx + c;
                for (int j = 0; j < i; j++)
                {
                    L g = L.Load(pair);
                    sum = L.MultiplyAdd(g, L.Load(xj), sum);
                    L.MultiplyAdd(g, xi, L.Load(dxj)).Store(dxj);
                    pair += C;
                    xj += C;
                    dxj += C;
                }
                L.MultiplyAdd(L.Load(pair) * squares, xi, sum).Store(dx + i * C + c);
                pair += C;
            }
            if (weights == null) continue;
            for (int i = 0; i < K; i++) (L.Load(weights + c) * L.Load(dx + i * C + c)).Store(dx + i * C + c);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Sum(float* feature)
    {
        L sum = L.Load(feature);
        for (int c = L.Count; c < C; c += L.Count) sum += L.Load(feature + c);
        return L.Fold(sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Sum(float* feature, float* weights)
    {
        L sum = default;
        for (int c = 0; c < C; c += L.Count) sum = L.MultiplyAdd(L.Load(weights + c), L.Load(feature + c), sum);
        return L.Fold(sum);
    }
}
