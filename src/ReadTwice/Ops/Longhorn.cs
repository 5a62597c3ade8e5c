using ReadTwice.Native;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>The recurrence of Longhorn (arXiv 2407.14207): S ← (1 - e k²) S + e x kᵀ, y = S q + D x, with e = β / (1 + β |k|²).</summary>
    /// <remarks>It is what the state must be, taken channel by channel, to recall x under the key k without leaving what it was by much.</remarks>
    /// <param name="x">What is to be recalled, [B, T, I].</param>
    /// <param name="beta">How much it matters, between 0 and 1, [B, T, I].</param>
    /// <param name="k">Keys, [B, T, N].</param>
    /// <param name="q">Queries, [B, T, N].</param>
    /// <param name="D">Skip, [I].</param>
    /// <param name="S">State before the piece, [B, I, N].</param>
    /// <returns>y [B, T, I] and the state after the piece.</returns>
    public static (Tensor Y, Tensor S) Longhorn(Tensor x, Tensor beta, Tensor k, Tensor q, Tensor D, Tensor S)
    {
        using var scope = NewDisposeScope();
        var e = beta / (beta * k.pow(Number(2)).sum(-1, keepdim: true)).Plus(1);                         // [B, T, I]
        var (y, last) = Spans.Fit(x, e, k, q, D, S) ? LonghornFunction.Apply(x, e, k, q, D, S) : LonghornByOperators(x, e, k, q, D, S);
        return (y.MoveToOuterDisposeScope(), last.MoveToOuterDisposeScope());
    }

    internal static (Tensor Y, Tensor S) LonghornByOperators(Tensor x, Tensor e, Tensor k, Tensor q, Tensor D, Tensor S)
    {
        using var scope = NewDisposeScope();
        var (k2, u) = (k.pow(Number(2)), e * x);
        var (y, last) = ScanByOperators(q, S, (i, n) => (
            (e.narrow(1, i, n).unsqueeze(-1) * k2.narrow(1, i, n).unsqueeze(2)).neg().Plus(1),
            u.narrow(1, i, n).unsqueeze(-1) * k.narrow(1, i, n).unsqueeze(2)));                // [B, n, I, N]
        return (y.Plus(x * D).MoveToOuterDisposeScope(), last.MoveToOuterDisposeScope());
    }

    private sealed class LonghornFunction : Recurrence<LonghornFunction>
    {
        private const int X = 0, E = 1, K = 2, Q = 3, D = 4, S = 5;

        protected override void Read(Tensor[] inputs, Tensor state, Tensor y) =>
            Kernels.LonghornScan.Forward(
                Sizes(inputs), Spans.In(inputs[X]), Spans.In(inputs[E]), Spans.In(inputs[K]), Spans.In(inputs[Q]),
                Spans.In(inputs[D]), Spans.Ref(state), Spans.Ref(y), Libtorch.Threads);

        protected override void ReadBack(Tensor[] inputs, Tensor after, Tensor dy, Tensor dState, Tensor[] gradients) =>
            Kernels.LonghornScan.Backward(
                Sizes(inputs), Spans.In(inputs[X]), Spans.In(inputs[E]), Spans.In(inputs[K]), Spans.In(inputs[Q]),
                Spans.In(inputs[D]), Spans.In(inputs[S]), Spans.In(dy), Spans.In(dState), Spans.Ref(gradients[X]),
                Spans.Ref(gradients[E]), Spans.Ref(gradients[K]), Spans.Ref(gradients[Q]), Spans.Ref(gradients[D]),
                Spans.Ref(gradients[S]), Libtorch.Threads);

        private static Kernels.ChannelSizes Sizes(Tensor[] inputs) =>
            new((int)inputs[X].size(0), (int)inputs[X].size(1), (int)inputs[X].size(2), (int)inputs[K].size(2));
    }
}
