using ReadTwice.Kernels;
using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>
    /// Causal linear attention whose state may fade: S ← diag(exp g) S diag(exp w) + k vᵀ, o = scale · Sᵀ q. One recurrence serves
    /// GLA, RetNet, HGRN2, LightNet and both passes of GSA. At most one of g and w is given.
    /// </summary>
    /// <param name="q">Queries, [B, T, H, K].</param>
    /// <param name="k">Keys, [B, T, H, K].</param>
    /// <param name="v">Values, [B, T, H, V].</param>
    /// <param name="S">The state before this piece, [B, H, K, V].</param>
    /// <param name="scale">Factor of the output.</param>
    /// <param name="keyDecay">g, the logarithm of the decay, at most 0: [B, T, H, K], or [B, T, H, 1] for one a head; null for none.</param>
    /// <param name="valueDecay">w, the same of the state's other axis, [B, T, H, V]; null for none.</param>
    /// <returns>o [B, T, H, V] and the state after the piece.</returns>
    public static (Tensor O, Tensor S) LinearAttention(
        Tensor q, Tensor k, Tensor v, Tensor S, double scale, Tensor? keyDecay = null, Tensor? valueDecay = null)
    {
        if (keyDecay is not null && valueDecay is not null)
            throw new ArgumentException("A state fades by rows or by columns; a keyDecay and a valueDecay are given.", nameof(valueDecay));
        Tensor[] inputs = [.. new[] { q, k, v, S, keyDecay, valueDecay }.OfType<Tensor>()];
        if (!inputs.All(HasKernels)) return LinearAttentionInChunks(q, k, v, S, scale, keyDecay, valueDecay);
        if (!is_grad_enabled() || !inputs.Any(input => input.requires_grad)) return ReadLinearAttention(q, k, v, S, scale, keyDecay, valueDecay);
        return LinearAttentionGradient.Split(LinearAttentionGradient.apply(q, k, v, S, keyDecay!, valueDecay!, scale), v, S);
    }

    private static (Tensor O, Tensor S) ReadLinearAttention(
        Tensor q, Tensor k, Tensor v, Tensor S, double scale, Tensor? keyDecay = null, Tensor? valueDecay = null)
    {
        var (o, next) = (empty(v.shape), S.contiguous().clone());
        ReadLinearAttention(q, k, v, scale, keyDecay, valueDecay, next, o);
        return (o, next);
    }

    // By our own kernel, of which libtorch knows nothing: advances S in place and fills o, both contiguous.
    private static void ReadLinearAttention(
        Tensor q, Tensor k, Tensor v, double scale, Tensor? keyDecay, Tensor? valueDecay, Tensor S, Tensor o)
    {
        using var scope = NewDisposeScope();
        var sizes = new AttentionSizes((int)q.size(0), (int)q.size(1), (int)q.size(2), (int)q.size(3), (int)v.size(3));
        (q, k, v) = (q.contiguous(), k.contiguous(), v.contiguous());
        var (g, w) = (keyDecay?.contiguous(), valueDecay?.contiguous());
        GatedLinearAttention.Forward(
            sizes, (float)scale, TensorMemory.Span(q), TensorMemory.Span(k), TensorMemory.Span(v),
            g is null ? [] : TensorMemory.Span(g), w is null ? [] : TensorMemory.Span(w),
            TensorMemory.Span(S), TensorMemory.Span(o), Libtorch.Threads);
        GC.KeepAlive((q, k, v, g, w, S, o));
    }

    // Kernels of our own are for float32 on the processor, and count in 32 bits.
    private static bool HasKernels(Tensor x) => x.dtype == ScalarType.Float32 && x.device_type == DeviceType.CPU && x.numel() <= int.MaxValue;
}
