using ReadTwice.Native;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>The selective scan of Mamba (arXiv 2312.00752): h ← exp(Δ A) h + Δ x Bᵀ, y = h C + D x.</summary>
    /// <param name="x">Inputs, [B, T, I].</param>
    /// <param name="delta">Time steps Δ, already positive, [B, T, I].</param>
    /// <param name="A">Decay, negative, [I, N].</param>
    /// <param name="Bt">Input maps, [B, T, N].</param>
    /// <param name="Ct">Output maps, [B, T, N].</param>
    /// <param name="D">Skip, [I].</param>
    /// <param name="h">State before the piece, [B, I, N].</param>
    /// <returns>y [B, T, I] and the state after the piece.</returns>
    public static (Tensor Y, Tensor H) SelectiveScan(Tensor x, Tensor delta, Tensor A, Tensor Bt, Tensor Ct, Tensor D, Tensor h) =>
        Spans.Fit(x, delta, A, Bt, Ct, D, h) ? SelectiveScanFunction.Apply(x, delta, A, Bt, Ct, D, h) : SelectiveScanByOperators(x, delta, A, Bt, Ct, D, h);

    internal static (Tensor Y, Tensor H) SelectiveScanByOperators(Tensor x, Tensor delta, Tensor A, Tensor Bt, Tensor Ct, Tensor D, Tensor h)
    {
        using var scope = NewDisposeScope();
        var u = delta * x;
        var (y, last) = ScanByOperators(Ct, h, (i, n) => (
            (delta.narrow(1, i, n).unsqueeze(-1) * A).exp(),
            u.narrow(1, i, n).unsqueeze(-1) * Bt.narrow(1, i, n).unsqueeze(2)));               // [B, n, I, N]
        return (y.Plus(x * D).MoveToOuterDisposeScope(), last.MoveToOuterDisposeScope());
    }

    private sealed class SelectiveScanFunction : Recurrence<SelectiveScanFunction>
    {
        private const int X = 0, Delta = 1, A = 2, Bt = 3, Ct = 4, D = 5, H = 6;

        protected override void Read(Tensor[] inputs, Tensor state, Tensor y) =>
            Kernels.SelectiveScan.Forward(
                Sizes(inputs), Spans.In(inputs[X]), Spans.In(inputs[Delta]), Spans.In(inputs[A]), Spans.In(inputs[Bt]),
                Spans.In(inputs[Ct]), Spans.In(inputs[D]), Spans.Ref(state), Spans.Ref(y), Libtorch.Threads);

        protected override void ReadBack(Tensor[] inputs, Tensor after, Tensor dy, Tensor dState, Tensor[] gradients) =>
            Kernels.SelectiveScan.Backward(
                Sizes(inputs), Spans.In(inputs[X]), Spans.In(inputs[Delta]), Spans.In(inputs[A]), Spans.In(inputs[Bt]),
                Spans.In(inputs[Ct]), Spans.In(inputs[D]), Spans.In(inputs[H]), Spans.In(dy), Spans.In(dState),
                Spans.Ref(gradients[X]), Spans.Ref(gradients[Delta]), Spans.Ref(gradients[A]), Spans.Ref(gradients[Bt]),
                Spans.Ref(gradients[Ct]), Spans.Ref(gradients[D]), Spans.Ref(gradients[H]), Libtorch.Threads);

        private static Kernels.ChannelSizes Sizes(Tensor[] inputs) =>
            new((int)inputs[X].size(0), (int)inputs[X].size(1), (int)inputs[X].size(2), (int)inputs[A].size(1));
    }
}
