using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    // By libtorch's operators, through which gradients run too: every pair of tokens within a chunk, and the state between chunks.
    internal static (Tensor O, Tensor S) LinearAttentionInChunks(
        Tensor q, Tensor k, Tensor v, Tensor S, double scale, Tensor? keyDecay = null, Tensor? valueDecay = null)
    {
        using var scope = NewDisposeScope();
        bool perChannel = valueDecay is not null || keyDecay is not null && keyDecay.size(3) > 1;
        long chunk = perChannel ? 16 : 64;   // every pair of tokens in a chunk has a factor of its own for each channel
        Tensor Heads(Tensor x) => x.transpose(1, 2);                                           // [B, H, T, ..]
        var (qh, kh, vh) = (Heads(q * Number(scale)), Heads(k), Heads(v));
        var (g, w) = (keyDecay is null ? null : Heads(keyDecay), valueDecay is null ? null : Heads(valueDecay));

        var pieces = new List<Tensor>();
        for (long i = 0; i < q.size(1); i += chunk)
        {
            using var piece = NewDisposeScope();
            long n = Math.Min(chunk, q.size(1) - i);
            Tensor At(Tensor x) => x.narrow(2, i, n);
            var (o, next) = Chunk(At(qh), At(kh), At(vh), S, g is null ? null : At(g).cumsum(2), w is null ? null : At(w).cumsum(2));
            pieces.Add(o.MoveToOuterDisposeScope());
            if (i > 0) S.Dispose();
            S = next.MoveToOuterDisposeScope();
        }
        return (cat(pieces, 2).transpose(1, 2).MoveToOuterDisposeScope(), S.alias().MoveToOuterDisposeScope());
    }

    // A chunk of n tokens: q, k [B, H, n, K], v [B, H, n, V]; G and W are the decays' logarithms, summed from the chunk's start.
    private static (Tensor O, Tensor S) Chunk(Tensor q, Tensor k, Tensor v, Tensor S, Tensor? G, Tensor? W)
    {
        Tensor A;                                                                              // [B, H, n, n]
        if (G is null) A = Product(q, k.transpose(-2, -1)).tril();
        else if (G.size(3) == 1) A = Product(q, k.transpose(-2, -1)) * Fade(G).squeeze(-1);
        else A = (q.unsqueeze(3) * k.unsqueeze(2) * Fade(G)).sum(-1);

        var within = W is null ? Product(A, v) : (A.unsqueeze(-1) * v.unsqueeze(2) * Fade(W)).sum(3);
        var before = Product(G is null ? q : q * G.exp(), S);
        if (W is not null) (before, v, S) = (before * W.exp(), v * Left(W), S * Whole(W).exp());
        if (G is not null) (k, S) = (k * Left(G), S * Whole(G).exp().transpose(-2, -1));
        return (before.Plus(within), S.Plus(Product(k.transpose(-2, -1), v)));
    }

    // exp(G_i - G_j) where j <= i, else 0: [B, H, n, c] -> [B, H, n, n, c]. Of later tokens the exponent is positive, and could overflow.
    private static Tensor Fade(Tensor G)
    {
        long n = G.size(2);
        var later = ones(n, n, ScalarType.Bool, device: G.device).triu(1).unsqueeze(-1);
        return (G.unsqueeze(3) - G.unsqueeze(2)).masked_fill(later, Number(double.NegativeInfinity)).exp();
    }

    // All of a chunk's decay, [B, H, 1, c], and what of it is still to come after each token, [B, H, n, c].
    private static Tensor Whole(Tensor G) => G.narrow(2, G.size(2) - 1, 1);

    private static Tensor Left(Tensor G) => (Whole(G) - G).exp();
}
