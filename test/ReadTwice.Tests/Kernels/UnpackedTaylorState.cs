using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

/// <summary>
/// Takes a state from the authors' features [1, x / K^¼, vec(xxᵀ) / √(2K)] over [1 + K + K²] rows to the packed ones.
/// </summary>
internal static class UnpackedTaylorState
{
    /// <summary>The state itself: [heads, 1 + K + K², V] -> [heads, F, V]; V = 1 for z.</summary>
    public static float[] Pack(In state, int K, int V) => Pack(state, K, V, linear: Quarter(K), pair: 0.5f * Root(K), square: Root(K));

    /// <summary>A gradient of the state, which scales the other way.</summary>
    public static float[] PackGradient(In gradient, int K, int V) =>
        Pack(gradient, K, V, linear: 1 / Quarter(K), pair: 1 / Root(K), square: 1 / Root(K));

    private static float Quarter(int K) => MathF.Sqrt(MathF.Sqrt(K));

    private static float Root(int K) => MathF.Sqrt(2 * K);

    private static float[] Pack(In state, int K, int V, float linear, float pair, float square)
    {
        int F = TaylorFeatureMap.Width(K), unpacked = 1 + K + K * K, heads = state.Length / (unpacked * V);
        var packed = new float[heads * F * V];
        for (int head = 0; head < heads; head++)
        {
            Ref to = packed.AsSpan(head * F * V, F * V);
            In from = state.Slice(head * unpacked * V, unpacked * V);
            from[..V].CopyTo(to);
            for (int i = 0; i < K; i++)
                for (int c = 0; c < V; c++)
                {
                    to[(1 + i) * V + c] = linear * from[(1 + i) * V + c];
                    int row = 1 + K + i * (i + 1) / 2;
                    for (int j = 0; j < i; j++)
                        to[(row + j) * V + c] = pair * (from[(1 + K + i * K + j) * V + c] + from[(1 + K + j * K + i) * V + c]);
                    to[(row + i) * V + c] = square * from[(1 + K + i * K + i) * V + c];
                }
        }
        return packed;
    }
}
