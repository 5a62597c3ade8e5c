using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>a ⊙ silu(g), the gate of SwiGLU (arXiv 2002.05202); both may be halves of wider rows.</summary>
    /// <param name="a">[.., n].</param>
    /// <param name="g">[.., n].</param>
    public static Tensor SwiGlu(Tensor a, Tensor g)
    {
        if (!Spans.Fit(a, g) || a.dim() == 0 || !Spans.Alike(a, g) || a.numel() == 0)
        {
            using var silu = nn.functional.silu(g);
            return a * silu;
        }
        return Spans.Learn(a, g) ? SwiGluFunction.apply(a, g) : SwiGluFunction.Read(a, g);
    }

    private sealed class SwiGluFunction : autograd.SingleTensorFunction<SwiGluFunction>
    {
        public override string Name => nameof(SwiGluFunction);

        public static Tensor Read(Tensor a, Tensor g)
        {
            var y = empty(a.shape);
            var (rows, gates) = (Spans.Rows(a, out int aRow), Spans.Rows(g, out int gRow));
            int n = (int)a.size(-1);
            Kernels.SwiGlu.Forward((int)(a.numel() / n), n, Spans.InRows(rows, aRow), aRow, Spans.InRows(gates, gRow), gRow, Spans.Ref(y), Libtorch.Threads);
            GC.KeepAlive((rows, gates));
            return y;
        }

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
        {
            var (a, g) = ((Tensor)vars[0], (Tensor)vars[1]);
            ctx.save_for_backward([a, g]);
            return Read(a, g);
        }

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
        {
            var saved = ctx.get_saved_variables();
            var (a, g, dy) = (Spans.Rows(saved[0], out int aRow), Spans.Rows(saved[1], out int gRow), grad_output.contiguous());
            var (da, dg) = (empty(a.shape), empty(g.shape));
            int n = (int)a.size(-1);
            Kernels.SwiGlu.Backward(
                (int)(a.numel() / n), n, Spans.InRows(a, aRow), aRow, Spans.InRows(g, gRow), gRow, Spans.In(dy), Spans.Ref(da), Spans.Ref(dg), Libtorch.Threads);
            GC.KeepAlive((saved, a, g, dy));
            return [da, dg];
        }
    }
}
