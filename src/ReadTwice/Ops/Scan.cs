using ReadTwice.Native;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>A linear recurrence of every channel for itself, h ← a ⊙ h + b.</summary>
    /// <param name="a">What is kept of the state, [B, T, C].</param>
    /// <param name="b">What is added, [B, T, C].</param>
    /// <param name="h">State before the piece, [B, C].</param>
    /// <returns>The state after each token, [B, T, C], and after the last, [B, C].</returns>
    public static (Tensor Y, Tensor H) Scan(Tensor a, Tensor b, Tensor h)
    {
        using var scope = NewDisposeScope();
        Tensor y;
        if (!Spans.Fit(a, b, h)) y = ScanByOperators(a, b, h);
        else if (Spans.Learn(a, b, h)) y = ScanFunction.apply(a.contiguous(), b.contiguous(), h.contiguous());
        else y = ScanFunction.Read(a.contiguous(), b.contiguous(), h.contiguous());
        return (y.MoveToOuterDisposeScope(), y.select(1, y.size(1) - 1).clone().MoveToOuterDisposeScope());
    }

    // By doubling: each token comes to stand for the n tokens up to it, then for 2 n, and for what they keep and what they add.
    internal static Tensor ScanByOperators(Tensor a, Tensor b, Tensor h)
    {
        using var scope = NewDisposeScope();
        long T = a.size(1);
        b = cat([(a.narrow(1, 0, 1) * h.unsqueeze(1)).Plus(b.narrow(1, 0, 1)), b.narrow(1, 1, T - 1)], 1);
        for (long n = 1; n < T; n *= 2)
        {
            var later = a.narrow(1, n, T - n);
            b = cat([b.narrow(1, 0, n), (later * b.narrow(1, 0, T - n)).Plus(b.narrow(1, n, T - n))], 1);
            a = cat([a.narrow(1, 0, n), later * a.narrow(1, 0, T - n)], 1);
        }
        return b.MoveToOuterDisposeScope();
    }

    // y = h C of a recurrence over [I, N], whose factors and summands are made for a chunk at a time, as they are N times the input.
    private static (Tensor Y, Tensor H) ScanByOperators(Tensor Ct, Tensor h, Func<long, long, (Tensor A, Tensor B)> chunk)
    {
        const long Chunk = 64;
        long T = Ct.size(1);
        var pieces = new List<Tensor>();
        for (long i = 0; i < T; i += Chunk)
        {
            using var piece = NewDisposeScope();
            long n = Math.Min(Chunk, T - i);
            var (a, b) = chunk(i, n);
            var all = ScanByOperators(a, b, h);                                                // [B, n, I, N]
            h = all.select(1, n - 1).clone().MoveToOuterDisposeScope();
            pieces.Add(Product(all, Ct.narrow(1, i, n).unsqueeze(-1)).squeeze(-1).MoveToOuterDisposeScope());
        }
        return (cat(pieces, 1), h);
    }

    private sealed class ScanFunction : autograd.SingleTensorFunction<ScanFunction>
    {
        public override string Name => nameof(ScanFunction);

        public static Tensor Read(Tensor a, Tensor b, Tensor h)
        {
            var y = empty_like(b);
            Kernels.Scan.Forward(Sizes(a), Spans.In(a), Spans.In(b), Spans.In(h), Spans.Ref(y), Libtorch.Threads);
            GC.KeepAlive((a, b, h));
            return y;
        }

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
        {
            var (a, b, h) = ((Tensor)vars[0], (Tensor)vars[1], (Tensor)vars[2]);
            var y = Read(a, b, h);
            ctx.save_for_backward([a, h, y.detach()]);   // detached, or the result would hold the graph that holds it
            return y;
        }

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
        {
            var saved = ctx.get_saved_variables();
            var (a, h, y, dy) = (saved[0], saved[1], saved[2], grad_output.contiguous());
            var (da, db, dh) = (empty_like(a), empty_like(a), empty_like(h));
            Kernels.Scan.Backward(
                Sizes(a), Spans.In(a), Spans.In(y), Spans.In(h), Spans.In(dy),
                Spans.Ref(da), Spans.Ref(db), Spans.Ref(dh), Libtorch.Threads);
            GC.KeepAlive((saved, dy));
            return [da, db, dh];
        }

        private static Kernels.ScanSizes Sizes(Tensor a) => new((int)a.size(0), (int)a.size(1), (int)a.size(2));
    }
}
