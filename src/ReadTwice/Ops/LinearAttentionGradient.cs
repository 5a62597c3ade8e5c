using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>
    /// Linear attention with its gradients, which are linear attention too. With dS_t the gradient of the state after token t,
    /// dS_t = e^g_(t+1) ⊙ dS_(t+1) + scale · q_t do_tᵀ runs from the end as S does from the start, and is read by k for dv and, transposed,
    /// by v for dk; S, run again and transposed, is read by do for dq.
    /// </summary>
    private sealed class LinearAttentionGradient : autograd.SingleTensorFunction<LinearAttentionGradient>
    {
        private const string Scale = "scale", Needed = "needed";
        private const int Q = 0, K = 1, G = 4, W = 5;

        public override string Name => nameof(LinearAttention);

        /// <summary>The results, o and the state after it, in the one tensor that holds both.</summary>
        /// <remarks>
        /// One, because of two TorchSharp would ask a gradient for the one that nothing reads, as zeros like a tensor that it left in
        /// the caller's scope, gone by then: and an exception in a backward pass ends the process.
        /// </remarks>
        public static (Tensor O, Tensor S) Split(Tensor both, Tensor v, Tensor S) =>
            (both.narrow(0, 0, v.numel()).view(v.shape), both.narrow(0, v.numel(), S.numel()).view(S.shape));

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
        {
            using var scope = NewDisposeScope();
            var (q, k, v, S, g, w) = ((Tensor)vars[0], (Tensor)vars[1], (Tensor)vars[2], (Tensor)vars[3], (Tensor?)vars[4], (Tensor?)vars[5]);
            double scale = (double)vars[6];
            var both = empty(v.numel() + S.numel());
            var (o, next) = Split(both, v, S);
            ReadLinearAttention(q, k, v, scale, g, w, next.copy_(S), o);
            ctx.save_data(Scale, scale);
            ctx.save_data(Needed, vars.Select(input => input is Tensor { requires_grad: true }).ToArray());
            // Saved only after this returns, so alive until then; detached, or the result would hold the graph that holds it.
            ctx.save_for_backward([q, k, v, S, g!, w!, both.detach().MoveToOuterDisposeScope()]);
            return both.MoveToOuterDisposeScope();
        }

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
        {
            using var scope = NewDisposeScope();
            var saved = ctx.get_saved_variables();
            var (q, k, v, S, g, w) = (saved[0], saved[1], saved[2], saved[3], (Tensor?)saved[4], (Tensor?)saved[5]);
            var (o, next) = Split(saved[6], v, S);
            var (dO, dS) = Split(grad_output.contiguous(), v, S);
            double scale = (double)ctx.get_data(Scale);
            bool[] needed = (bool[])ctx.get_data(Needed);

            // From the last token to the first. Between two of them lies the decay of the later one, so the last meets none.
            var (backQ, backK, backV, backO) = (Reverse(q) * Number(scale), Reverse(k), Reverse(v), Reverse(dO));
            var (backG, backW) = (Shift(g), Shift(w));
            var (dv, dS0) = ReadLinearAttention(backK, backQ, backO, dS, 1, backG, backW);
            dv = Reverse(dv);
            if (g is not null) dS0 = dS0 * g.select(1, 0).exp().unsqueeze(-1);
            if (w is not null) dS0 = dS0 * w.select(1, 0).exp().unsqueeze(-2);

            Tensor? dq = null, dk = null, dg = null, dw = null;
            if (needed[Q] || needed[G]) dq = ReadTransposed(dO, v, k, S, scale, g, w);
            if (needed[K] || needed[G]) dk = Reverse(ReadTransposed(backV, backO, backQ, dS, 1, backG, backW));
            var kept = dS * next;
            if (needed[G])
            {
                var (terms, last) = (q * dq! - k * dk!, kept.sum(-1));                             // [B, T, H, K] and [B, H, K]
                if (g!.size(3) == 1) (terms, last) = (terms.sum(-1, keepdim: true), last.sum(-1, keepdim: true));
                dg = FromHereOn(terms, last);
            }
            if (needed[W]) dw = FromHereOn(o * dO - v * dv, kept.sum(-2));
            foreach (var gradient in new[] { dq, dk, dv, dS0, dg, dw }.OfType<Tensor>()) gradient.MoveToOuterDisposeScope();
            return [dq!, dk!, dv, dS0, dg!, dw!, null!];
        }

        // o alone of linear attention whose state lies transposed, with rows for columns: its decays change places.
        private static Tensor ReadTransposed(Tensor q, Tensor k, Tensor v, Tensor S, double scale, Tensor? g, Tensor? w)
        {
            bool wholeHeads = g is null || g.size(3) == 1;
            var (o, next) = ReadLinearAttention(q, k, v, S.transpose(-2, -1), scale, wholeHeads ? g ?? w : null, wholeHeads ? null : g);
            next.Dispose();
            return o;
        }

        // What a decay's gradient sums: from its own token on, all that is read less all that is written, and what is left in the end.
        private static Tensor FromHereOn(Tensor terms, Tensor last) =>
            Reverse(Reverse(terms).cumsum(1, ScalarType.Float64)).Plus(last.unsqueeze(1)).to(ScalarType.Float32);

        private static Tensor Reverse(Tensor x) => x.flip(1);

        private static Tensor? Shift(Tensor? decay) =>
            decay is null ? null : cat([zeros_like(decay.narrow(1, 0, 1)), Reverse(decay.narrow(1, 1, decay.size(1) - 1))], 1);
    }
}
