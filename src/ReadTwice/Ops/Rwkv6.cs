using ReadTwice.Native;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>RWKV-6's recurrence (arXiv 2404.05892): a decay for each key channel and token, and a bonus for the token itself.</summary>
    /// <remarks>o = rᵀ (S + diag(u) k vᵀ), then S ← diag(e^w) S + k vᵀ.</remarks>
    /// <param name="r">What reads, [B, T, H, K].</param>
    /// <param name="k">Keys, [B, T, H, K].</param>
    /// <param name="v">Values, [B, T, H, V].</param>
    /// <param name="w">The decay's logarithm, not positive, [B, T, H, K].</param>
    /// <param name="u">The bonus, [H, K].</param>
    /// <param name="S">State before the piece, [B, H, K, V].</param>
    /// <returns>o [B, T, H, V] and the state after the piece.</returns>
    public static (Tensor O, Tensor S) Rwkv6(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, Tensor S)
    {
        if (!Spans.Fit(r, k, v, w, u, S)) return Rwkv6InChunks(r, k, v, w, u, S);
        if (Spans.Learn(r, k, v, w, u, S)) return Rwkv6AsLinearAttention(r, k, v, w, u, S);
        using var scope = NewDisposeScope();
        (r, k, v, u) = (r.contiguous(), k.contiguous(), v.contiguous(), u.contiguous());
        var (decay, o, end) = (w.exp().contiguous(), empty(v.shape), S.contiguous().clone());
        Kernels.Rwkv6.Forward(
            StateSizes(k, v), Spans.In(r), Spans.In(k), Spans.In(v), Spans.In(decay), Spans.In(u), Spans.Ref(end), Spans.Ref(o), Libtorch.Threads);
        GC.KeepAlive((r, k, v, u, decay));
        return (o.MoveToOuterDisposeScope(), end.MoveToOuterDisposeScope());
    }

    // What a token reads of the state before it is what a query one place earlier reads of the state after that place's token.
    private static (Tensor O, Tensor S) Rwkv6AsLinearAttention(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, Tensor S)
    {
        using var scope = NewDisposeScope();
        Tensor Later(Tensor x) => cat([zeros_like(x.narrow(1, 0, 1)), x], 1);
        var reads = cat([r, zeros_like(r.narrow(1, 0, 1))], 1);
        var (o, end) = LinearAttention(reads, Later(k), Later(v), S, 1, Later(w));
        var own = (r * u * k).sum(-1, keepdim: true) * v;
        return (o.narrow(1, 0, r.size(1)).Plus(own).MoveToOuterDisposeScope(), end.MoveToOuterDisposeScope());
    }

    /// <summary>The same by libtorch's operators, on any device.</summary>
    internal static (Tensor O, Tensor S) Rwkv6InChunks(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, Tensor S)
    {
        using var scope = NewDisposeScope();
        var (rc, kc, vc) = (Chunks.Cut(r), Chunks.Cut(k), Chunks.Cut(v));
        var (before, with) = Chunks.Decays(w);
        var own = Chunks.Triangle(Chunks.Scores(rc, kc, before, with), (rc * kc * u.unsqueeze(1)).sum(-1));
        var written = Product(Chunks.FadeToEnd(kc, with).transpose(-2, -1), vc);               // [N, B, H, K, V]
        var fade = Chunks.OfState(with)!;
        var starts = new List<Tensor>();
        for (long n = 0; n < kc.size(0); n++)
        {
            starts.Add(S);
            S = (fade[n] * S).Plus(written[n]);
        }
        var o = Product(own, vc).Plus(Product(Chunks.Fade(rc, before), stack(starts)));
        return (Chunks.Join(o, r.size(1)).MoveToOuterDisposeScope(), S.alias().MoveToOuterDisposeScope());
    }
}
