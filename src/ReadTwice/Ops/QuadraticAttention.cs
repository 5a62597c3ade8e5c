using ReadTwice.Layers;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>Causal attention with the weights (q·k)², normalised (ReBased, arXiv 2402.10644).</summary>
    /// <param name="q">Queries, [B, T, H, K].</param>
    /// <param name="k">Keys, [B, T, H, K].</param>
    /// <param name="v">Values, [B, T, H, V].</param>
    /// <param name="S">The state before this piece, [B, H, K (K + 1) / 2, V + 1]; its last column sums the keys' features.</param>
    /// <param name="epsilon">Added to the sum of the weights.</param>
    /// <returns>o [B, T, H, V] and the state after the piece.</returns>
    public static (Tensor O, Tensor S) QuadraticAttention(Tensor q, Tensor k, Tensor v, Tensor S, double epsilon)
    {
        // (q·k)² is twice the second-order term of the Taylor map, whose features stand last. In chunks, for they round less than token
        // after token does, and early in a text the normaliser is small enough to tell.
        using var scope = NewDisposeScope();
        long F = S.size(2), V = v.size(3);
        Tensor Squares(Tensor features) => features.narrow(-1, features.size(-1) - F, F);
        var weighted = cat([v, ones_like(v.narrow(3, 0, 1))], 3);
        (var sums, S) = LinearAttentionInChunks(Squares(TaylorFeatureMap.Queries(q)), Squares(TaylorFeatureMap.Keys(k)), weighted, S, 2);
        var o = sums.narrow(3, 0, V) / sums.narrow(3, V, 1).Plus(epsilon);
        return (o.MoveToOuterDisposeScope(), S.MoveToOuterDisposeScope());
    }
}
