using ReadTwice.Kernels;
using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>Taylor linear attention by our own kernels, with its gradients.</summary>
/// <remarks>
/// Inputs q, k, v, S, z, then mask, prefix K, prefix V and prefix mask, which may be null, and the scale; tensors are contiguous.
/// Outputs o, S, z. An exception in a backward pass would end the process: the forward pass has checked every shape by then.
/// </remarks>
internal sealed class TaylorFunction : autograd.MultiTensorFunction<TaylorFunction>
{
    private const string Scale = nameof(Scale), HasMask = nameof(HasMask), HasPrefix = nameof(HasPrefix), HasPrefixMask = nameof(HasPrefixMask);

    public override string Name => nameof(TaylorFunction);

    /// <summary>The outputs, and the normaliser of each query, [B, T, H], where it is asked for.</summary>
    public static (Tensor O, Tensor S, Tensor z) Read(
        Tensor q, Tensor k, Tensor v, Tensor S, Tensor z, Tensor? mask, EncodedPrefix? prefix, float scale, Tensor? norms = null)
    {
        var sizes = Sizes(q, v);
        var (o, endS, endZ) = (empty_like(v), S.clone(), z.clone());
        int threads = Libtorch.Threads;
        if (prefix is null)
            TaylorLinearAttention.Forward(sizes, scale, In(q), In(k), In(v), In(mask), Ref(endS), Ref(endZ), Ref(o), Ref(norms), threads);
        else
            PrefixLinearAttention.Forward(
                sizes, (int)prefix.K.size(1), scale, In(prefix.K), In(prefix.V), In(prefix.Mask),
                In(q), In(k), In(v), In(mask), Ref(endS), Ref(endZ), Ref(o), Ref(norms), threads);
        GC.KeepAlive((q, k, v, mask, prefix));
        return (o, endS, endZ);
    }

    public override List<Tensor> forward(autograd.AutogradContext context, params object[] inputs)
    {
        var (q, k, v, S, z) = ((Tensor)inputs[0], (Tensor)inputs[1], (Tensor)inputs[2], (Tensor)inputs[3], (Tensor)inputs[4]);
        var (mask, prefixMask) = (inputs[5] as Tensor, inputs[8] as Tensor);
        var prefix = inputs[6] is Tensor prefixK ? new EncodedPrefix(prefixK, (Tensor)inputs[7], prefixMask) : null;
        float scale = (float)inputs[9];
        var norms = empty([.. q.shape[..3]]);
        var (o, endS, endZ) = Read(q, k, v, S, z, mask, prefix, scale, norms);

        // Else TorchSharp keeps a tensor like each output to make zeros of, which the caller's dispose scope frees too early.
        context.set_materialize_grads(false);
        List<Tensor> saved = [q, k, v, S, z, o.detach(), norms];
        if (mask is not null) saved.Add(mask);
        if (prefix is not null) saved.AddRange([prefix.K, prefix.V]);
        if (prefixMask is not null) saved.Add(prefixMask);
        context.save_for_backward(saved);
        context.save_data(Scale, scale);
        context.save_data(HasMask, mask is not null);
        context.save_data(HasPrefix, prefix is not null);
        context.save_data(HasPrefixMask, prefixMask is not null);
        return [o, endS, endZ];
    }

    public override List<Tensor> backward(autograd.AutogradContext context, List<Tensor> gradients)
    {
        var saved = context.get_saved_variables();
        var (q, k, v, S, z, o, norms) = (saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], saved[6]);
        int next = 7;
        var mask = (bool)context.get_data(HasMask) ? saved[next++] : null;
        var (prefixK, prefixV) = (bool)context.get_data(HasPrefix) ? (saved[next++], saved[next++]) : (null, null);
        var prefixMask = (bool)context.get_data(HasPrefixMask) ? saved[next] : null;
        float scale = (float)context.get_data(Scale);

        var sizes = Sizes(q, v);
        // Where an output was not used there is no gradient of it.
        Tensor? Given(int i) => gradients[i] is { IsInvalid: false } gradient ? gradient.contiguous() : null;
        var (dO, dS, dz) = (Given(0) ?? zeros_like(o), Given(1), Given(2));
        var (dq, dk, dv, dS0, dz0) = (empty_like(q), empty_like(k), empty_like(v), empty_like(S), empty_like(z));
        int threads = Libtorch.Threads;
        if (prefixK is null)
        {
            TaylorLinearAttention.Backward(
                sizes, scale, In(q), In(k), In(v), In(mask), In(o), In(norms), In(S), In(z), In(dO), In(dS), In(dz),
                Ref(dq), Ref(dk), Ref(dv), Ref(dS0), Ref(dz0), threads);
            GC.KeepAlive((saved, gradients, dO, dS, dz));
            return [dq, dk, dv, dS0, dz0, null!, null!, null!, null!, null!];
        }
        var (dPrefixK, dPrefixV) = (empty_like(prefixK), empty_like(prefixV!));
        PrefixLinearAttention.Backward(
            sizes, (int)prefixK.size(1), scale, In(prefixK), In(prefixV), In(prefixMask), In(q), In(k), In(v), In(mask), In(o), In(norms),
            In(S), In(z), In(dO), In(dS), In(dz), Ref(dPrefixK), Ref(dPrefixV), Ref(dq), Ref(dk), Ref(dv), Ref(dS0), Ref(dz0), threads);
        GC.KeepAlive((saved, gradients, dO, dS, dz));
        return [dq, dk, dv, dS0, dz0, null!, dPrefixK, dPrefixV, null!, null!];
    }

    private static AttentionSizes Sizes(Tensor q, Tensor v) =>
        new((int)q.size(0), (int)q.size(1), (int)q.size(2), (int)q.size(3), (int)v.size(3));

    private static unsafe In In(Tensor? tensor) => tensor is null ? default : new(TensorMemory.Pointer(tensor), checked((int)tensor.numel()));

    private static unsafe Ref Ref(Tensor? tensor) => tensor is null ? default : new(TensorMemory.Pointer(tensor), checked((int)tensor.numel()));
}
