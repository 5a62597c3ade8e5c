using ReadTwice.Native;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>RWKV-7's recurrence (arXiv 2503.14456): the state changes by a diagonal matrix and one of rank one.</summary>
    /// <remarks>S ← diag(e^w) S + b (aᵀ S) + k vᵀ, where aᵀ S asks the state before it decays; o = rᵀ S.</remarks>
    /// <param name="r">What reads, [B, T, H, K].</param>
    /// <param name="w">The decay's logarithm, not positive, [B, T, H, K].</param>
    /// <param name="k">Keys, [B, T, H, K].</param>
    /// <param name="v">Values, [B, T, H, V].</param>
    /// <param name="a">What the state is asked with, [B, T, H, K].</param>
    /// <param name="b">Where the answer is written, [B, T, H, K].</param>
    /// <param name="S">State before the piece, [B, H, K, V].</param>
    /// <returns>o [B, T, H, V] and the state after the piece.</returns>
    public static (Tensor O, Tensor S) Rwkv7(Tensor r, Tensor w, Tensor k, Tensor v, Tensor a, Tensor b, Tensor S)
    {
        if (!Spans.Fit(r, w, k, v, a, b, S)) return Rwkv7InChunks(r, w, k, v, a, b, S);
        using var decay = w.exp();
        return Rwkv7Function.Of(r, decay, k, v, a, b, S);
    }

    /// <summary>The same by libtorch's operators, on any device.</summary>
    internal static (Tensor O, Tensor S) Rwkv7InChunks(Tensor r, Tensor w, Tensor k, Tensor v, Tensor a, Tensor b, Tensor S)
    {
        using var scope = NewDisposeScope();
        var (rc, kc, vc, ac, bc) = (Chunks.Cut(r), Chunks.Cut(k), Chunks.Cut(v), Chunks.Cut(a), Chunks.Cut(b));
        var (before, with) = Chunks.Decays(w);

        // Inside a chunk the answers are U = askK V + askB U + asks S, which (1 - askB)⁻¹ solves for all tokens at once.
        var solve = Chunks.Inverse(Chunks.Scores(-ac, bc, before, with), ac.select(-1, 0));
        var askK = Chunks.Triangle(Chunks.Scores(ac, kc, before, with), zeros_like(ac.select(-1, 0)));
        var answered = Product(solve, Product(askK, vc));                                      // [N, B, H, C, V]
        var asks = Product(solve, Chunks.Fade(ac, before));                                    // [N, B, H, C, K]
        var readK = Chunks.Triangle(Chunks.Scores(rc, kc, with, with), (rc * kc).sum(-1));     // [N, B, H, C, C]
        var readB = Chunks.Triangle(Chunks.Scores(rc, bc, with, with), (rc * bc).sum(-1));
        var own = Product(readK, vc);
        var reads = Chunks.Fade(rc, with);
        var written = Product(Chunks.FadeToEnd(kc, with).transpose(-2, -1), vc);               // [N, B, H, K, V]
        var rewrites = Chunks.FadeToEnd(bc, with).transpose(-2, -1);
        var fade = Chunks.OfState(with)!;
        var pieces = new List<Tensor>();
        for (long n = 0; n < kc.size(0); n++)
        {
            var u = answered[n].Plus(Product(asks[n], S));
            pieces.Add(own[n].Plus(Product(readB[n], u)).Plus(Product(reads[n], S)));
            S = (fade[n] * S).Plus(written[n]).Plus(Product(rewrites[n], u));
        }
        return (Chunks.Join(stack(pieces), r.size(1)).MoveToOuterDisposeScope(), S.alias().MoveToOuterDisposeScope());
    }

    private sealed class Rwkv7Function : Recurrence<Rwkv7Function>
    {
        private const int V = 0, R = 1, K = 2, A = 3, B = 4, Decay = 5;

        /// <summary>With the decay as a factor, of a head or of each key channel; null for none.</summary>
        public static (Tensor O, Tensor S) Of(Tensor r, Tensor? decay, Tensor k, Tensor v, Tensor a, Tensor b, Tensor S) =>
            decay is null ? Apply(v, r, k, a, b, S) : Apply(v, r, k, a, b, decay, S);

        protected override void Read(Tensor[] inputs, Tensor state, Tensor y) =>
            Kernels.Rwkv7.Forward(
                StateSizes(inputs[K], inputs[V]), Spans.In(inputs[R]), Spans.In(DecayOf(inputs)), Spans.In(inputs[K]), Spans.In(inputs[V]),
                Spans.In(inputs[A]), Spans.In(inputs[B]), Spans.Ref(state), Spans.Ref(y), Libtorch.Threads);

        protected override void ReadBack(Tensor[] inputs, Tensor after, Tensor dy, Tensor dState, Tensor[] gradients) =>
            Kernels.Rwkv7.Backward(
                StateSizes(inputs[K], inputs[V]), Spans.In(inputs[R]), Spans.In(DecayOf(inputs)), Spans.In(inputs[K]), Spans.In(inputs[V]),
                Spans.In(inputs[A]), Spans.In(inputs[B]), Spans.In(inputs[^1]), Spans.In(dy), Spans.In(dState),
                Spans.Ref(gradients[R]), Spans.Ref(DecayOf(gradients)), Spans.Ref(gradients[K]), Spans.Ref(gradients[V]),
                Spans.Ref(gradients[A]), Spans.Ref(gradients[B]), Spans.Ref(gradients[^1]), Libtorch.Threads);

        // The state is the last of them.
        private static Tensor? DecayOf(Tensor[] inputs) => inputs.Length > Decay + 1 ? inputs[Decay] : null;
    }
}
