using ReadTwice.Native;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>x / √(mean(x²) + ε) ⊙ (w + offset) over the last axis, the mean over groups of it.</summary>
    /// <param name="x">[.., n].</param>
    /// <param name="weight">[n]; null for ones.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="groups">How many equal groups of neighbouring channels are normalised apart.</param>
    /// <param name="offset">Added to the weight.</param>
    public static Tensor RmsNorm(Tensor x, Tensor? weight, double epsilon, long groups = 1, double offset = 0)
    {
        if (!HasNormKernel(x, weight)) return NormByOperators(x, weight, epsilon, groups, offset);
        return Norm(x, null, weight, epsilon, groups, offset)[0];
    }

    /// <summary>A sum, and the sum normalised, which is how a layer's result enters the residual stream and the next layer.</summary>
    /// <param name="x">[.., n].</param>
    /// <param name="added">[.., n].</param>
    /// <param name="weight">[n]; null for ones.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="groups">How many equal groups of neighbouring channels are normalised apart.</param>
    /// <param name="offset">Added to the weight.</param>
    public static (Tensor Sum, Tensor Normalised) RmsNormOfSum(
        Tensor x, Tensor added, Tensor? weight, double epsilon, long groups = 1, double offset = 0)
    {
        if (!HasNormKernel(x, weight) || !Spans.Fit(added) || !Spans.Alike(x, added))
        {
            var sum = x.Plus(added);
            return (sum, NormByOperators(sum, weight, epsilon, groups, offset));
        }
        var results = Norm(x, added, weight, epsilon, groups, offset);
        return (results[1], results[0]);
    }

    internal static Tensor NormByOperators(Tensor x, Tensor? weight, double epsilon, long groups, double offset)
    {
        using var scope = NewDisposeScope();
        var y = groups == 1 ? x : x.unflatten(x.dim() - 1, [groups, x.size(-1) / groups]);
        y = y * y.pow(Number(2)).mean([-1], keepdim: true).Plus(epsilon).rsqrt();
        if (groups > 1) y = y.flatten(-2);
        if (weight is not null) y = y * (offset == 0 ? weight : weight.Plus(offset));
        return y.MoveToOuterDisposeScope();
    }

    private static bool HasNormKernel(Tensor x, Tensor? weight) =>
        Spans.Fit(x, weight) && x.numel() > 0 && (weight is null || (weight.dim() == 1 && weight.size(0) == x.size(-1)));

    private static List<Tensor> Norm(Tensor x, Tensor? added, Tensor? weight, double epsilon, long groups, double offset)
    {
        var sizes = new Kernels.NormSizes(
            (int)(x.numel() / x.size(-1)), (int)groups, (int)(x.size(-1) / groups), (float)epsilon, (float)offset);
        return Spans.Learn(x, added, weight) ? NormFunction.apply(x, added!, weight!, sizes) : NormFunction.Read(x, added, weight, sizes);
    }

    /// <summary>The norm by our own kernel, with its gradients.</summary>
    /// <remarks>
    /// Inputs x, what is added and weight, of which the last two may be null, and the sizes; outputs y and, where something is added, the
    /// sum. An exception in a backward pass would end the process: the forward pass has checked every shape by then.
    /// </remarks>
    private sealed class NormFunction : autograd.MultiTensorFunction<NormFunction>
    {
        private const string Sizes = nameof(Sizes), HasSum = nameof(HasSum), HasWeight = nameof(HasWeight);

        public override string Name => nameof(NormFunction);

        public static List<Tensor> Read(Tensor x, Tensor? added, Tensor? weight, Kernels.NormSizes sizes)
        {
            (x, added, weight) = (Spans.Contiguous(x), added is null ? null : Spans.Contiguous(added), weight is null ? null : Spans.Contiguous(weight));
            var (y, sum) = (empty_like(x), added is null ? null : empty_like(x));
            Kernels.RmsNorm.Forward(sizes, Spans.In(x), Spans.In(added), Spans.In(weight), Spans.Ref(sum), Spans.Ref(y), Libtorch.Threads);
            GC.KeepAlive((x, added, weight));
            return sum is null ? [y] : [y, sum];
        }

        public override List<Tensor> forward(autograd.AutogradContext context, params object[] inputs)
        {
            var (x, added, weight, sizes) = ((Tensor)inputs[0], inputs[1] as Tensor, inputs[2] as Tensor, (Kernels.NormSizes)inputs[3]);
            var results = Read(x, added, weight, sizes);
            Spans.LeaveUnusedGradients(context);
            // Detached, or the result would hold the graph that holds it.
            List<Tensor> saved = [added is null ? x : results[1].detach()];
            if (weight is not null) saved.Add(weight);
            context.save_for_backward(saved);
            context.save_data(Sizes, sizes);
            context.save_data(HasSum, added is not null);
            context.save_data(HasWeight, weight is not null);
            return results;
        }

        public override List<Tensor> backward(autograd.AutogradContext context, List<Tensor> gradients)
        {
            var saved = context.get_saved_variables();
            bool hasSum = (bool)context.get_data(HasSum);
            var (x, weight) = (saved[0].contiguous(), (bool)context.get_data(HasWeight) ? saved[1].contiguous() : null);
            var dy = Spans.GradientOr(gradients[0], x);
            var dSum = hasSum && gradients[1] is { IsInvalid: false } given ? given.contiguous() : null;
            var (dx, dWeight) = (empty(x.shape), weight is null ? null : empty(weight.shape));
            Kernels.RmsNorm.Backward(
                (Kernels.NormSizes)context.get_data(Sizes), Spans.In(x), Spans.In(weight), Spans.In(dy), Spans.In(dSum), Spans.Ref(dx), Spans.Ref(dWeight),
                Libtorch.Threads);
            GC.KeepAlive((saved, x, weight, dy, dSum));
            return [dx, hasSum ? dx.alias() : null!, dWeight!, null!];
        }
    }
}
