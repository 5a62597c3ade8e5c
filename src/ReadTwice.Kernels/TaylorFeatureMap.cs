namespace ReadTwice.Kernels;

/// <summary>
/// The second-order Taylor features of Based (arXiv 2402.18668): φ(q)·φ(k) = 1 + s + s²/2 with s = scale · q·k, near exp(s).
/// </summary>
/// <remarks>
/// The products are symmetric, so each pair is kept once: φ(k) = [1, kᵢ, kᵢkⱼ] for j ≤ i, the pairs in the order
/// (0,0), (1,0), (1,1), (2,0) ... The query carries every factor: with q scaled, φ(q) = [1, qᵢ, qᵢqⱼ, and qᵢ²/2 where j = i].
/// </remarks>
public static class TaylorFeatureMap
{
    /// <summary>How many features a vector of width <paramref name="K"/> has.</summary>
    public static int Width(int K) => 1 + K + Pairs(K);

    /// <summary>Writes φ(k).</summary>
    /// <remarks>k is [K], features [Width(K)].</remarks>
    public static void Keys(In k, Ref features) => Write(k, 1, 1, features);

    /// <summary>Writes φ(q).</summary>
    /// <remarks>q is [K], features [Width(K)]; scale multiplies q, the authors' is 1 / √K.</remarks>
    public static void Queries(In q, float scale, Ref features) => Write(q, scale, 0.5f, features);

    /// <summary>The features of a width K that come before those of (i, 0).</summary>
    internal static int Row(int K, int i) => 1 + K + Pairs(i);

    private static int Pairs(int K) => K * (K + 1) / 2;

    private static void Write(In x, float scale, float square, Ref features)
    {
        int K = x.Length;
        Shape.Require(features, [Width(K)]);
        features[0] = 1;
        for (int i = 0; i < K; i++)
        {
            Ref row = features.Slice(Row(K, i), i + 1);
            float xi = features[1 + i] = scale * x[i];
            for (int j = 0; j < i; j++) row[j] = xi * features[1 + j];
            row[i] = square * xi * xi;
        }
    }
}
