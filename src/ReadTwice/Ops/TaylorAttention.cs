using ReadTwice.Kernels;
using ReadTwice.Kernels.Cuda;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>Keys and values that are in the state before the first query reads it (JRT-RNN, arXiv 2407.05483).</summary>
/// <param name="K">Keys, [B, P, H, K].</param>
/// <param name="V">Values, [B, P, H, V].</param>
/// <param name="Mask">Weight of each key, [B, P]; null for one.</param>
public sealed record EncodedPrefix(Tensor K, Tensor V, Tensor? Mask = null);

public static partial class Ops
{
    /// <summary>Causal linear attention with the second-order Taylor feature map (Based, arXiv 2402.18668), after a prefix where there is one.</summary>
    /// <param name="q">Queries, [B, T, H, K].</param>
    /// <param name="k">Keys, [B, T, H, K].</param>
    /// <param name="v">Values, [B, T, H, V].</param>
    /// <param name="S">Sum of φ(k) vᵀ before this piece, [B, H, F, V], F the packed feature width.</param>
    /// <param name="z">Sum of φ(k) before this piece, [B, H, F].</param>
    /// <param name="scale">Factor of q·k inside the map.</param>
    /// <param name="epsilon">Added to the normaliser.</param>
    /// <param name="mask">Weight of each key, [B, T]; null for one.</param>
    /// <param name="prefix">What is added to the state before the first query; null for nothing.</param>
    /// <returns>o [B, T, H, V] and the state after the piece.</returns>
    public static (Tensor O, Tensor S, Tensor z) TaylorAttention(
        Tensor q, Tensor k, Tensor v, Tensor S, Tensor z, double scale, double epsilon, Tensor? mask = null, EncodedPrefix? prefix = null)
    {
        if (CudaKernels(q) is { } device && CudaTaylorFunction.Serves(q, k, v, S, z, scale, epsilon, mask, prefix))
            return CudaTaylorFunction.Attend(device, q, k, v, S, z, (float)scale, prefix);
        if (!KernelsServe(q) || (float)epsilon != TaylorLinearAttention.Epsilon)
            return TaylorAttentionByOperators(q, k, v, S, z, scale, epsilon, mask, prefix);
        using var scope = NewDisposeScope();
        (q, k, v, S, z, mask) = (q.contiguous(), k.contiguous(), v.contiguous(), S.contiguous(), z.contiguous(), mask?.contiguous());
        prefix = prefix is null ? null : new(prefix.K.contiguous(), prefix.V.contiguous(), prefix.Mask?.contiguous());
        if (!is_grad_enabled())
        {
            var (o, endS, endZ) = TaylorFunction.Read(q, k, v, S, z, mask, prefix, (float)scale);
            return (o.MoveToOuterDisposeScope(), endS.MoveToOuterDisposeScope(), endZ.MoveToOuterDisposeScope());
        }
        var results = TaylorFunction.apply(q, k, v, S, z, mask!, prefix?.K!, prefix?.V!, prefix?.Mask!, (float)scale);
        return (results[0].MoveToOuterDisposeScope(), results[1].MoveToOuterDisposeScope(), results[2].MoveToOuterDisposeScope());
    }

    // Whether our own kernels compute on this tensor where it lies.
    private static bool KernelsServe(Tensor tensor) => tensor.dtype == ScalarType.Float32 && tensor.device_type == DeviceType.CPU;

    // The card a tensor lies on, if our kernels run there.
    private static CudaDriver? CudaKernels(Tensor tensor) =>
        tensor.device_type == DeviceType.CUDA ? CudaDriver.Find(tensor.device_index, out _) : null;

    internal static (Tensor O, Tensor S, Tensor z) TaylorAttentionByOperators(
        Tensor q, Tensor k, Tensor v, Tensor S, Tensor z, double scale, double epsilon, Tensor? mask, EncodedPrefix? prefix)
    {
        const long Chunk = 128;
        using var scope = NewDisposeScope();
        if (prefix is not null)
        {
            var phi = Layers.TaylorFeatureMap.Keys(prefix.K.transpose(1, 2));
            if (prefix.Mask is not null) phi = phi * prefix.Mask.unsqueeze(1).unsqueeze(-1);
            S = S.Plus(Product(phi.transpose(-2, -1), prefix.V.transpose(1, 2)));
            z = z.Plus(phi.sum(2));
        }
        var (qh, kh, vh) = (q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2));          // [B, H, T, ..]
        var weights = mask?.unsqueeze(1).unsqueeze(2);                                         // [B, 1, 1, T]
        var pieces = new List<Tensor>();
        for (long i = 0; i < q.size(1); i += Chunk)
        {
            long n = Math.Min(Chunk, q.size(1) - i);
            var (qi, ki, vi) = (qh.narrow(2, i, n) * Number(scale), kh.narrow(2, i, n), vh.narrow(2, i, n));
            var s = Product(qi, ki.transpose(-2, -1));
            var A = s.Plus(1).Plus(s.pow(Number(2)) / Number(2));
            if (weights is not null) A = A * weights.narrow(3, i, n);
            A = A.tril();                                                                      // [B, H, n, n]
            var (phiQ, phiK) = (Layers.TaylorFeatureMap.Queries(qi), Layers.TaylorFeatureMap.Keys(ki));   // [B, H, n, F]
            if (weights is not null) phiK = phiK * weights.narrow(3, i, n).transpose(-2, -1);
            var numerator = Product(A, vi).Plus(Product(phiQ, S));
            var normaliser = A.sum(-1).Plus(Product(phiQ, z.unsqueeze(-1)).squeeze(-1));
            pieces.Add(numerator / normaliser.Plus(epsilon).unsqueeze(-1));
            S = S.Plus(Product(phiK.transpose(-2, -1), vi));
            z = z.Plus(phiK.sum(2));
        }
        var o = cat(pieces, 2).transpose(1, 2);
        return (o.MoveToOuterDisposeScope(), S.alias().MoveToOuterDisposeScope(), z.alias().MoveToOuterDisposeScope());
    }
    /// <summary>The same with a decay of the numerator: S ← γ S + φ(k) vᵀ for each head, z as before.</summary>
    /// <param name="q">Queries, [B, T, H, K].</param>
    /// <param name="k">Keys, [B, T, H, K].</param>
    /// <param name="v">Values, [B, T, H, V].</param>
    /// <param name="logDecay">log γ, [H].</param>
    /// <param name="S">As in <see cref="TaylorAttention"/>.</param>
    /// <param name="z">As in <see cref="TaylorAttention"/>.</param>
    /// <param name="scale">Factor of q·k inside the map.</param>
    /// <param name="epsilon">Added to the normaliser.</param>
    /// <param name="mask">Weight of each key, [B, T]; null for one.</param>
    public static (Tensor O, Tensor S, Tensor z) DecayedTaylorAttention(
        Tensor q, Tensor k, Tensor v, Tensor logDecay, Tensor S, Tensor z, double scale, double epsilon, Tensor? mask = null)
    {
        const long Chunk = 128;
        using var scope = NewDisposeScope();
        var (qh, kh, vh) = (q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2));          // [B, H, T, ..]
        var weights = mask?.unsqueeze(1).unsqueeze(2);                                         // [B, 1, 1, T]
        var log = logDecay.view(1, -1, 1, 1);
        var pieces = new List<Tensor>();
        for (long i = 0; i < q.size(1); i += Chunk)
        {
            long n = Math.Min(Chunk, q.size(1) - i);
            var at = Integers(0, n, q.device).to(ScalarType.Float32);
            var (qi, ki, vi) = (qh.narrow(2, i, n) * Number(scale), kh.narrow(2, i, n), vh.narrow(2, i, n));
            var s = Product(qi, ki.transpose(-2, -1));
            var A = s.Plus(1).Plus(s.pow(Number(2)) / Number(2));
            if (weights is not null) A = A * weights.narrow(3, i, n);
            A = A.tril();                                                                      // [B, H, n, n]
            var faded = A * (log * (at.unsqueeze(1) - at).tril()).exp();
            var (phiQ, phiK) = (Layers.TaylorFeatureMap.Queries(qi), Layers.TaylorFeatureMap.Keys(ki));   // [B, H, n, F]
            if (weights is not null) phiK = phiK * weights.narrow(3, i, n).transpose(-2, -1);
            var numerator = Product(faded, vi).Plus(Product(phiQ, S) * (log * at.Plus(1).unsqueeze(1)).exp());
            var normaliser = A.sum(-1).Plus(Product(phiQ, z.unsqueeze(-1)).squeeze(-1));
            pieces.Add(numerator / normaliser.Plus(epsilon).unsqueeze(-1));
            S = (S * (log * Number(n)).exp()).Plus(Product((phiK * (log * at.neg().Plus(n - 1).unsqueeze(1)).exp()).transpose(-2, -1), vi));
            z = z.Plus(phiK.sum(2));
        }
        var o = cat(pieces, 2).transpose(1, 2);
        return (o.MoveToOuterDisposeScope(), S.alias().MoveToOuterDisposeScope(), z.alias().MoveToOuterDisposeScope());
    }
}
