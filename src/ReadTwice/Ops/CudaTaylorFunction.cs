using ReadTwice.Kernels;
using ReadTwice.Kernels.Cuda;
using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>Taylor linear attention by our kernels for CUDA, with its gradients.</summary>
/// <remarks>
/// q, k and v are rounded to bfloat16, sums and the state are float32. Inputs q, k, v, S, z, then prefix K and V, which may be null,
/// the scale and the device; outputs o, S, z. An exception in a backward pass would end the process: the forward pass has checked
/// every shape by then.
/// </remarks>
internal sealed class CudaTaylorFunction : autograd.MultiTensorFunction<CudaTaylorFunction>
{
    private const string Scale = nameof(Scale), Device = nameof(Device), HasPrefix = nameof(HasPrefix);

    public override string Name => nameof(CudaTaylorFunction);

    /// <summary>Whether the kernels compute this; masks, other widths and other constants are left to libtorch's operators.</summary>
    public static bool Serves(Tensor q, Tensor k, Tensor v, Tensor S, Tensor z, double scale, double epsilon, Tensor? mask, EncodedPrefix? prefix)
    {
        if (mask is not null || prefix?.Mask is not null || (float)epsilon != TaylorLinearAttention.Epsilon || scale <= 0) return false;
        bool learns = Spans.Learn(q, k, v, S, z, prefix?.K, prefix?.V);
        return learns ? CudaPrefixLinearAttentionBackward.Serves(Sizes(q, v)) : CudaPrefixLinearAttention.Serves(Sizes(q, v));
    }

    /// <summary>The outputs and the state after, on a device where the tensors lie.</summary>
    public static (Tensor O, Tensor S, Tensor z) Attend(
        ICudaDevice device, Tensor q, Tensor k, Tensor v, Tensor S, Tensor z, float scale, EncodedPrefix? prefix)
    {
        using var scope = NewDisposeScope();
        var type = v.dtype;
        (q, k, v, S, z) = (Half(q), Half(k), Half(v), TensorMemory.Aligned(S, ScalarType.Float32), TensorMemory.Aligned(z, ScalarType.Float32));
        prefix = prefix is null ? null : new(Half(prefix.K), Half(prefix.V));
        Tensor o, endS, endZ;
        if (Spans.Learn(q, k, v, S, z, prefix?.K, prefix?.V))
        {
            var results = apply(q, k, v, S, z, prefix?.K!, prefix?.V!, scale, device);
            (o, endS, endZ) = (results[0], results[1], results[2]);
        }
        else (o, endS, endZ) = Read(device, q, k, v, S, z, scale, prefix, null);
        return (o.to(type).MoveToOuterDisposeScope(), endS.MoveToOuterDisposeScope(), endZ.MoveToOuterDisposeScope());
    }

    public override List<Tensor> forward(autograd.AutogradContext context, params object[] inputs)
    {
        var (q, k, v, S, z) = ((Tensor)inputs[0], (Tensor)inputs[1], (Tensor)inputs[2], (Tensor)inputs[3], (Tensor)inputs[4]);
        var prefix = inputs[5] is Tensor prefixK ? new EncodedPrefix(prefixK, (Tensor)inputs[6]) : null;
        var (scale, device) = ((float)inputs[7], (ICudaDevice)inputs[8]);
        var norms = empty([.. q.shape[..3]], device: q.device);
        var (o, endS, endZ) = Read(device, q, k, v, S, z, scale, prefix, norms);

        Spans.LeaveUnusedGradients(context);
        List<Tensor> saved = [q, k, v, S, z, o.detach(), norms];
        if (prefix is not null) saved.AddRange([prefix.K, prefix.V]);
        context.save_for_backward(saved);
        context.save_data(Scale, scale);
        context.save_data(Device, device);
        context.save_data(HasPrefix, prefix is not null);
        return [o, endS, endZ];
    }

    public override List<Tensor> backward(autograd.AutogradContext context, List<Tensor> gradients)
    {
        var saved = context.get_saved_variables();
        var (q, k, v, S, z, o, norms) = (saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], saved[6]);
        var (prefixK, prefixV) = (bool)context.get_data(HasPrefix) ? (saved[7], saved[8]) : (null, null);
        var (dO, dS, dz) = (TensorMemory.Aligned(Spans.GradientOr(gradients[0], o), o.dtype), gradients[1], gradients[2]);
        // The state has one gradient: where only a part of it was used, the rest is zero.
        bool isStateUsed = dS is { IsInvalid: false } || dz is { IsInvalid: false };
        var (endS, endZ) = isStateUsed ? (TensorMemory.Aligned(Spans.GradientOr(dS, S), S.dtype), TensorMemory.Aligned(Spans.GradientOr(dz, z), z.dtype)) : (null, null);
        var (dq, dk, dv, startS, startZ) = (empty_like(q), empty_like(k), empty_like(v), empty_like(S), empty_like(z));
        var (dPrefixK, dPrefixV) = prefixK is null ? (null, null) : (empty_like(prefixK), empty_like(prefixV!));
        using var g = empty_like(v);
        using var r = empty([.. q.shape[..3], 16], q.dtype, q.device);
        CudaPrefixLinearAttentionBackward.Backward(
            (ICudaDevice)context.get_data(Device), Sizes(q, v), (int)(prefixK?.size(1) ?? 0), (float)context.get_data(Scale),
            Operands(q, k, v, S, z, prefixK, prefixV) with { O = TensorMemory.Memory(o), Norms = TensorMemory.Memory(norms) },
            new()
            {
                DO = TensorMemory.Memory(dO),
                DEndS = TensorMemory.Memory(endS),
                DEndZ = TensorMemory.Memory(endZ),
                DQ = TensorMemory.Memory(dq),
                DK = TensorMemory.Memory(dk),
                DV = TensorMemory.Memory(dv),
                DKEnc = TensorMemory.Memory(dPrefixK),
                DVEnc = TensorMemory.Memory(dPrefixV),
                DS = TensorMemory.Memory(startS),
                DZ = TensorMemory.Memory(startZ),
                G = TensorMemory.Memory(g),
                R = TensorMemory.Memory(r),
            });
        GC.KeepAlive((saved, gradients, dO, endS, endZ));
        return [dq, dk, dv, startS, startZ, dPrefixK!, dPrefixV!, null!, null!];
    }

    // One token takes the step, which reads the state once and writes it once; more take tiles.
    private static (Tensor O, Tensor S, Tensor z) Read(
        ICudaDevice device, Tensor q, Tensor k, Tensor v, Tensor S, Tensor z, float scale, EncodedPrefix? prefix, Tensor? norms)
    {
        var sizes = Sizes(q, v);
        int P = (int)(prefix?.K.size(1) ?? 0);
        var (o, endS, endZ) = (empty_like(v), empty_like(S), empty_like(z));
        var operands = Operands(q, k, v, S, z, prefix?.K, prefix?.V) with
        {
            O = TensorMemory.Memory(o),
            EndS = TensorMemory.Memory(endS),
            EndZ = TensorMemory.Memory(endZ),
            Norms = TensorMemory.Memory(norms),
        };
        if (sizes.T == 1 && P == 0 && norms is null) CudaPrefixLinearAttention.Step(device, sizes, scale, operands);
        else
        {
            var segments = CudaSegments.For(device, sizes, P);
            using var segmentS = Segments(S, segments.Slots);
            using var segmentZ = Segments(z, segments.Slots);
            CudaPrefixLinearAttention.Forward(device, sizes, P, scale, operands with
            {
                SegmentS = TensorMemory.Memory(segmentS),
                SegmentZ = TensorMemory.Memory(segmentZ),
            }, segments);
        }
        GC.KeepAlive((q, k, v, S, z, prefix));
        return (o, endS, endZ);
    }

    private static Tensor? Segments(Tensor state, int slots) =>
        slots == 0 ? null : empty([state.size(0), state.size(1), slots, .. state.shape[2..]], state.dtype, state.device);

    private static CudaAttentionOperands Operands(Tensor q, Tensor k, Tensor v, Tensor S, Tensor z, Tensor? prefixK, Tensor? prefixV) => new()
    {
        Q = TensorMemory.Memory(q),
        K = TensorMemory.Memory(k),
        V = TensorMemory.Memory(v),
        S = TensorMemory.Memory(S),
        Z = TensorMemory.Memory(z),
        KEnc = TensorMemory.Memory(prefixK),
        VEnc = TensorMemory.Memory(prefixV),
    };

    private static Tensor Half(Tensor x) => TensorMemory.Aligned(x, ScalarType.BFloat16);

    private static AttentionSizes Sizes(Tensor q, Tensor v) =>
        new((int)q.size(0), (int)q.size(1), (int)q.size(2), (int)q.size(3), (int)v.size(3));
}
