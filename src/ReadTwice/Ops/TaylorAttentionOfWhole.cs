using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>Taylor attention over a whole text from its beginning, by all pairs of tokens and without a state.</summary>
    /// <remarks>For training: up to about as many tokens as there are features, fewer products than by the state, and simple gradients.</remarks>
    /// <param name="q">Queries, [B, T, H, K].</param>
    /// <param name="k">Keys, [B, T, H, K].</param>
    /// <param name="v">Values, [B, T, H, V].</param>
    /// <param name="scale">Factor of q·k inside the map.</param>
    /// <param name="epsilon">Added to the normaliser.</param>
    /// <param name="prefix">What every query sees (JRT-RNN), unmasked; null for nothing.</param>
    /// <returns>o [B, T, H, V].</returns>
    public static Tensor TaylorAttentionOfWhole(Tensor q, Tensor k, Tensor v, double scale, double epsilon, EncodedPrefix? prefix = null)
    {
        using var scope = NewDisposeScope();
        long B = q.size(0), T = q.size(1), H = q.size(2), F = Layers.TaylorFeatureMap.Width(q.size(3));
        if (CudaKernels(q) is not null)   // where a state costs less than all pairs at any length
        {
            var (S, z) = (zeros(B, H, F, v.size(3), device: q.device), zeros(B, H, F, device: q.device));
            return TaylorAttention(q, k, v, S, z, scale, epsilon, null, prefix).O.MoveToOuterDisposeScope();
        }
        var queries = Joined(q * Number(scale));
        var values = Joined(v);
        var A = TaylorWeights(queries, Joined(k)).tril();                                            // [B H, T, T]
        var (numerator, normaliser) = (bmm(A, values), A.sum(-1, keepdim: true));
        if (prefix is not null)
        {
            var P = TaylorWeights(queries, Joined(prefix.K));                                         // [B H, T, P]
            (numerator, normaliser) = (numerator.Plus(bmm(P, Joined(prefix.V))), normaliser.Plus(P.sum(-1, keepdim: true)));
        }
        var o = numerator / normaliser.Plus(epsilon);
        return o.view(B, H, T, v.size(3)).transpose(1, 2).MoveToOuterDisposeScope();

        Tensor Joined(Tensor x) => x.transpose(1, 2).flatten(0, 1);                            // [B, T, H, n] -> [B H, T, n]
    }

    // 1 + s + s²/2 = ((s + 1)² + 1) / 2, in fewer passes over memory.
    private static Tensor TaylorWeights(Tensor q, Tensor k) => bmm(q, k.transpose(-2, -1)).Plus(1).pow(Number(2)).Plus(1).mul(Number(0.5));
}
