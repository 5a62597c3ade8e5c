using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>Features whose product is the second-order Taylor series of an exponential: φ(q)·φ(k) = 1 + s + s²/2, s = q·k.</summary>
/// <remarks>
/// Of the K² products k_i k_j only those with i ≥ j are kept, so F = 1 + K + K (K + 1) / 2 and not 1 + K + K²; the queries carry
/// the factors: φ(k) = [1, k_i, k_i k_j], φ(q) = [1, q_i, q_i q_j where i > j, q_i² / 2]. A scale belongs into q.
/// </remarks>
public static class TaylorFeatureMap
{
    /// <summary>The packed width F for keys of width K.</summary>
    public static long Width(long K) => 1 + K + K * (K + 1) / 2;

    /// <summary>φ(k): [.., K] -> [.., F].</summary>
    public static Tensor Keys(Tensor k) => Map(k, diagonal: 1);

    /// <summary>φ(q): [.., K] -> [.., F].</summary>
    public static Tensor Queries(Tensor q) => Map(q, diagonal: 0.5);

    /// <summary>Packed sums of φ(k) as the authors keep them: 1 + K + K² features, scaled so that both sides use one map.</summary>
    /// <param name="state">[.., F, V].</param>
    /// <param name="K">The keys' width.</param>
    /// <param name="scale">The factor of q·k: φ of the authors takes k √scale.</param>
    /// <returns>[.., 1 + K + K², V].</returns>
    public static Tensor Unpack(Tensor state, long K, double scale)
    {
        using var scope = NewDisposeScope();
        return (state.cpu().index_select(-2, Source(K)) * Factors(K, scale)).MoveToOuterDisposeScope();
    }

    /// <summary>The inverse: the authors' sums, of which each pair of transposed products is averaged, as packed ones.</summary>
    /// <param name="state">[.., 1 + K + K², V].</param>
    /// <param name="K">The keys' width.</param>
    /// <param name="scale">The factor of q·k.</param>
    /// <returns>[.., F, V].</returns>
    public static Tensor Pack(Tensor state, long K, double scale)
    {
        using var scope = NewDisposeScope();
        var source = Source(K);
        long[] shape = state.shape;
        shape[^2] = Width(K);
        var counts = zeros(Width(K)).index_add(0, source, ones(source.size(0)), Number(1)).unsqueeze(-1);   // 1 or 2 of the authors' for each of ours
        return (zeros(shape).index_add(-2, source, state / Factors(K, scale), Number(1)) / counts).MoveToOuterDisposeScope();
    }

    // For each of the authors' features, the packed one that holds it.
    private static Tensor Source(long K)
    {
        var source = new long[1 + K + K * K];
        for (long i = 0; i < K; i++)
        {
            source[1 + i] = 1 + i;
            for (long j = 0; j < K; j++) source[1 + K + i * K + j] = 1 + K + Pair(Math.Max(i, j), Math.Min(i, j));
        }
        return tensor(source);
    }

    // By how much the authors' feature is the larger, [1 + K + K², 1].
    private static Tensor Factors(long K, double scale) => cat(
        [ones(1), full(K, Number((float)Math.Sqrt(scale))), full(K * K, Number((float)(scale / Math.Sqrt(2))))]).unsqueeze(-1);

    private static long Pair(long i, long j) => i * (i + 1) / 2 + j;

    private static Tensor Map(Tensor x, double diagonal)
    {
        using var scope = NewDisposeScope();
        long K = x.size(-1);
        var (rows, columns, factors) = (new long[K * (K + 1) / 2], new long[K * (K + 1) / 2], new float[K * (K + 1) / 2]);
        for (long i = 0, at = 0; i < K; i++)
            for (long j = 0; j <= i; j++, at++)
                (rows[at], columns[at], factors[at]) = (i, j, i == j ? (float)diagonal : 1);
        var products = x.index_select(-1, tensor(rows, device: x.device)) * x.index_select(-1, tensor(columns, device: x.device)) * tensor(factors, device: x.device);
        return cat([ones_like(x.narrow(-1, 0, 1)), x, products], -1).MoveToOuterDisposeScope();
    }
}
