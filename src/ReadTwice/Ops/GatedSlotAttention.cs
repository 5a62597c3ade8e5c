using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>
    /// Gated slot attention (GSA, arXiv 2409.07146): a query asks which of M slots its key was written to, Hk ← Hk diag(exp g) + k sᵀ,
    /// a = softmax(scale · Hkᵀ q), and reads their values, Hv ← diag(exp g) Hv + s vᵀ, o = Hvᵀ a.
    /// </summary>
    /// <param name="q">Queries, [B, T, H, K].</param>
    /// <param name="k">Keys, [B, T, H, K].</param>
    /// <param name="v">Values, [B, T, H, V].</param>
    /// <param name="s">How much each slot takes in, [B, T, H, M].</param>
    /// <param name="g">The logarithm of how much each slot keeps, [B, T, H, M].</param>
    /// <param name="Hk">The slots' keys before this piece, [B, H, K, M].</param>
    /// <param name="Hv">The slots' values before this piece, [B, H, M, V].</param>
    /// <param name="scale">Factor of the scores.</param>
    /// <returns>o [B, T, H, V] and the slots after the piece.</returns>
    public static (Tensor O, Tensor Hk, Tensor Hv) GatedSlotAttention(
        Tensor q, Tensor k, Tensor v, Tensor s, Tensor g, Tensor Hk, Tensor Hv, double scale)
    {
        using var scope = NewDisposeScope();
        (var scores, Hk) = LinearAttention(q, k, s, Hk, scale, valueDecay: g);
        (var o, Hv) = LinearAttention(scores.softmax(-1), s, v, Hv, 1, keyDecay: g);
        return (o.MoveToOuterDisposeScope(), Hk.MoveToOuterDisposeScope(), Hv.MoveToOuterDisposeScope());
    }
}
