using ReadTwice.Native;
using TorchSharp;
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
        if (!Spans.Fit(r, w, k, v, a, b, S) || Spans.Learn(r, w, k, v, a, b, S)) return Rwkv7InChunks(r, w, k, v, a, b, S);
        using var scope = NewDisposeScope();
        (r, k, v, a, b) = (r.contiguous(), k.contiguous(), v.contiguous(), a.contiguous(), b.contiguous());
        var (decay, o, end) = (w.exp().contiguous(), empty(v.shape), S.contiguous().clone());
        Kernels.Rwkv7.Forward(
            StateSizes(k, v), Spans.In(r), Spans.In(decay), Spans.In(k), Spans.In(v), Spans.In(a), Spans.In(b), Spans.Ref(end), Spans.Ref(o), Libtorch.Threads);
        GC.KeepAlive((r, k, v, a, b, decay));
        return (o.MoveToOuterDisposeScope(), end.MoveToOuterDisposeScope());
    }

    /// <summary>The same by libtorch's operators, which know gradients and other devices.</summary>
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
            var u = answered[n] + Product(asks[n], S);
            pieces.Add(own[n] + Product(readB[n], u) + Product(reads[n], S));
            S = fade[n] * S + written[n] + Product(rewrites[n], u);
        }
        return (Chunks.Join(stack(pieces), r.size(1)).MoveToOuterDisposeScope(), S.alias().MoveToOuterDisposeScope());
    }
}
