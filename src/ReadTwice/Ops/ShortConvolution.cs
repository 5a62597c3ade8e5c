using ReadTwice.Kernels.Cuda;
using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>A short causal filter for each channel, with what may follow it: act(conv(x) + bias) ⊙ gate.</summary>
    /// <param name="x">[B, T, C].</param>
    /// <param name="weight">[C, 1, K]; the last tap meets the current token.</param>
    /// <param name="bias">[C], or null.</param>
    /// <param name="state">The K - 1 inputs before x, oldest first, [B, C, K - 1].</param>
    /// <param name="silu">Whether act is SiLU, or nothing.</param>
    /// <param name="gate">[B, T, C], or null.</param>
    /// <returns>The filtered sequence [B, T, C], and the last K - 1 inputs.</returns>
    public static (Tensor Y, Tensor State) ShortConvolution(
        Tensor x, Tensor weight, Tensor? bias, Tensor state, bool silu = false, Tensor? gate = null)
    {
        if (!Spans.Fit(x, weight, bias, state, gate)) return ConvolutionByOperators(x, weight, bias, state, silu, gate);
        if (!Spans.Learn(x, weight, bias, state, gate)) return ConvolutionFunction.Read(x, weight, bias, state, silu, gate);
        var results = ConvolutionFunction.apply(x, weight, bias!, state, gate!, silu);
        return (results[0], results[1]);
    }

    /// <summary>The gated form of the same (Based, arXiv 2402.18668): silu(filter(u)) w, where a row of the input is [u | w].</summary>
    /// <param name="uw">[B, T, 2 C].</param>
    /// <param name="weight">[C, 1, K].</param>
    /// <param name="bias">[C], or null.</param>
    /// <param name="state">As in <see cref="ShortConvolution"/>.</param>
    /// <param name="mask">1 where a token is real and 0 where it is padding, [B, T]; null for all real.</param>
    /// <returns>[B, T, C], and the last K - 1 inputs.</returns>
    public static (Tensor Y, Tensor State) GatedConvolution(Tensor uw, Tensor weight, Tensor? bias, Tensor state, Tensor? mask = null)
    {
        if (CudaKernels(uw) is { } device && mask is null && !Spans.Learn(uw, weight, bias, state) && CudaGatedConvolution.Serves(weight.size(0), weight.size(2)))
            return CudaConvolution.Filter(device, uw, weight, bias, state);
        using var scope = NewDisposeScope();
        var halves = uw.chunk(2, -1);
        var (y, next) = ShortConvolution(mask is null ? halves[0] : halves[0] * mask.unsqueeze(-1), weight, bias, state, silu: true, halves[1]);
        return (y.MoveToOuterDisposeScope(), next.MoveToOuterDisposeScope());
    }

    internal static (Tensor Y, Tensor State) ConvolutionByOperators(
        Tensor x, Tensor weight, Tensor? bias, Tensor state, bool silu, Tensor? gate)
    {
        using var scope = NewDisposeScope();
        var padded = cat([state, x.transpose(1, 2)], 2);                                       // [B, C, K - 1 + T]
        var y = nn.functional.conv1d(padded, weight, bias, groups: weight.size(0)).transpose(1, 2);
        if (silu) y = nn.functional.silu(y);
        if (gate is not null) y = y * gate;
        var last = padded.narrow(2, x.size(1), state.size(2)).contiguous().clone();
        return (y.MoveToOuterDisposeScope(), last.MoveToOuterDisposeScope());
    }

    /// <summary>The filter by our own kernel, with its gradients.</summary>
    /// <remarks>
    /// Inputs x, weight, bias, state, gate, of which bias and gate may be null, and whether SiLU follows; outputs y and state. An exception
    /// in a backward pass would end the process: the forward pass has checked every shape by then.
    /// </remarks>
    private sealed class ConvolutionFunction : autograd.MultiTensorFunction<ConvolutionFunction>
    {
        private const string HasBias = nameof(HasBias), HasGate = nameof(HasGate), HasSilu = nameof(HasSilu);

        public override string Name => nameof(ConvolutionFunction);

        public static (Tensor Y, Tensor State) Read(Tensor x, Tensor weight, Tensor? bias, Tensor state, bool silu, Tensor? gate)
        {
            var sizes = Sizes(x, weight);
            var (y, next) = (empty(sizes.B, sizes.T, sizes.C), Spans.Contiguous(state).clone());
            x = Spans.Rows(x, out int xRow);
            int gateRow = 0;
            if (gate is not null) gate = Spans.Rows(gate, out gateRow);
            weight = Spans.Contiguous(weight);
            Kernels.ShortConvolution.Forward(
                sizes, Spans.InRows(x, xRow), xRow, Spans.In(weight), Spans.In(bias), silu, Spans.InRows(gate, gateRow), gateRow,
                Spans.Ref(next), Spans.Ref(y), Libtorch.Threads);
            GC.KeepAlive((x, weight, bias, gate));
            return (y, next);
        }

        public override List<Tensor> forward(autograd.AutogradContext context, params object[] inputs)
        {
            var (x, weight, bias, state, gate, silu) =
                ((Tensor)inputs[0], (Tensor)inputs[1], inputs[2] as Tensor, (Tensor)inputs[3], inputs[4] as Tensor, (bool)inputs[5]);
            Spans.LeaveUnusedGradients(context);
            context.save_for_backward([.. inputs.OfType<Tensor>()]);
            context.save_data(HasBias, bias is not null);
            context.save_data(HasGate, gate is not null);
            context.save_data(HasSilu, silu);
            var (y, next) = Read(x, weight, bias, state, silu, gate);
            return [y, next];
        }

        public override List<Tensor> backward(autograd.AutogradContext context, List<Tensor> gradients)
        {
            var saved = context.get_saved_variables();
            int next = 2;
            var bias = (bool)context.get_data(HasBias) ? saved[next++] : null;
            var (x, weight, state) = (Spans.Rows(saved[0], out int xRow), saved[1].contiguous(), saved[next++].contiguous());
            int gateRow = 0;
            var gate = (bool)context.get_data(HasGate) ? Spans.Rows(saved[next], out gateRow) : null;
            var dy = Spans.GradientOr(gradients[0], x);
            var dState = gradients[1] is { IsInvalid: false } given ? given.contiguous() : null;
            var (dx, dWeight, dState0) = (empty(x.shape), empty(weight.shape), empty(state.shape));
            var (dBias, dGate) = (bias is null ? null : empty(bias.shape), gate is null ? null : empty(gate.shape));
            Kernels.ShortConvolution.Backward(
                Sizes(x, weight), Spans.InRows(x, xRow), xRow, Spans.In(weight), Spans.In(bias), (bool)context.get_data(HasSilu),
                Spans.InRows(gate, gateRow), gateRow, Spans.In(state), Spans.In(dy), Spans.In(dState),
                Spans.Ref(dx), Spans.Ref(dWeight), Spans.Ref(dBias), Spans.Ref(dGate), Spans.Ref(dState0), Libtorch.Threads);
            GC.KeepAlive((saved, x, weight, state, gate, dy, dState));
            return [dx, dWeight, dBias!, dState0, dGate!, null!];
        }

        private static Kernels.ConvolutionSizes Sizes(Tensor x, Tensor weight) =>
            new((int)x.size(0), (int)x.size(1), (int)x.size(2), (int)weight.size(2));
    }
}
