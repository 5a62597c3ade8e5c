using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>RWKV-4's average by our own kernel, with its gradients.</summary>
/// <remarks>
/// Inputs k, v, w, u, num, den, max, contiguous; outputs y, num, den, max. An exception in a backward pass would end the process:
/// the forward pass has checked every shape by then.
/// </remarks>
internal sealed class Rwkv4Function : autograd.MultiTensorFunction<Rwkv4Function>
{
    public override string Name => nameof(Rwkv4Function);

    /// <summary>The outputs.</summary>
    public static List<Tensor> Read(Tensor k, Tensor v, Tensor w, Tensor u, Tensor num, Tensor den, Tensor max)
    {
        var (y, endNum, endDen, endMax) = (empty(v.shape), num.clone(), den.clone(), max.clone());
        Kernels.Rwkv4.Forward(
            (int)k.size(0), (int)k.size(1), (int)k.size(2), Spans.In(k), Spans.In(v), Spans.In(w), Spans.In(u),
            Spans.Ref(endNum), Spans.Ref(endDen), Spans.Ref(endMax), Spans.Ref(y), Libtorch.Threads);
        GC.KeepAlive((k, v, w, u));
        return [y, endNum, endDen, endMax];
    }

    public override List<Tensor> forward(autograd.AutogradContext context, params object[] inputs)
    {
        List<Tensor> operands = [.. inputs.Cast<Tensor>()];
        Spans.LeaveUnusedGradients(context);
        context.save_for_backward(operands);
        return Read(operands[0], operands[1], operands[2], operands[3], operands[4], operands[5], operands[6]);
    }

    public override List<Tensor> backward(autograd.AutogradContext context, List<Tensor> gradients)
    {
        var saved = context.get_saved_variables();
        var (k, v, w, u, num, den, max) = (saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], saved[6]);
        var (dy, dnum, dden) = (Spans.GradientOr(gradients[0], v), Spans.GradientOr(gradients[1], num), Spans.GradientOr(gradients[2], den));
        var (dk, dv, dw, du, dnum0, dden0) = (empty_like(k), empty_like(v), empty_like(w), empty_like(u), empty_like(num), empty_like(den));
        Kernels.Rwkv4.Backward(
            (int)k.size(0), (int)k.size(1), (int)k.size(2), Spans.In(k), Spans.In(v), Spans.In(w), Spans.In(u), Spans.In(num), Spans.In(den), Spans.In(max),
            Spans.In(dy), Spans.In(dnum), Spans.In(dden),
            Spans.Ref(dk), Spans.Ref(dv), Spans.Ref(dw), Spans.Ref(du), Spans.Ref(dnum0), Spans.Ref(dden0), Libtorch.Threads);
        GC.KeepAlive((saved, dy, dnum, dden));
        return [dk, dv, dw, du, dnum0, dden0, null!];
    }
}
