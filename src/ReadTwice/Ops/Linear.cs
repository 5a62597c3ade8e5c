using ReadTwice.Native;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    // From so many rows on libtorch's bfloat16 product wins: it has instructions that our kernels cannot reach.
    private const long FewestRowsForBFloat16 = 8;

    /// <summary>x Wᵀ + b in the type of W: x [.., inputs] float32 -> [.., outputs] float32.</summary>
    public static Tensor Linear(Tensor x, Tensor weight, Tensor? bias)
    {
        if (weight.dtype == ScalarType.Float32) return nn.functional.linear(x, weight, bias);
        using var scope = NewDisposeScope();
        var y = nn.functional.linear(x.to(weight.dtype), weight).to(ScalarType.Float32);
        if (bias is not null) y = y.add_(bias, Number(1));
        return y.MoveToOuterDisposeScope();
    }

    /// <summary>The same where the weight may be kept packed: with it, unless a gradient is recorded or libtorch is faster.</summary>
    internal static Tensor Linear(Tensor x, Tensor weight, Tensor? bias, PackedWeight packed)
    {
        long N = weight.size(0), K = weight.size(1), M = x.numel() / Math.Max(1, K);
        // A shape that fits no product is left to libtorch, which says so.
        bool fits = Spans.Fit(x, bias) && x.dim() > 0 && x.size(-1) == K && M * N <= int.MaxValue;
        bool torchIsFaster = weight.dtype == ScalarType.BFloat16 && !packed.IsQuantized && M >= FewestRowsForBFloat16;
        if (!fits || torchIsFaster || Spans.Learn(x, weight, bias) || packed.Of(weight) is not { } matrix) return Linear(x, weight, bias);
        using var scope = NewDisposeScope();
        var rows = x.contiguous();
        var y = empty([.. x.shape[..^1], N]);
        matrix.Multiply(Spans.In(rows), Spans.Ref(y), Spans.In(bias), Libtorch.Threads);
        return y.MoveToOuterDisposeScope();
    }
}
