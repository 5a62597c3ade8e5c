using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>The recurrence of Mamba-2 (arXiv 2405.21060), with one decay a head: S ← exp(Δ A) S + Δ x Bᵀ, y = S C + D x.</summary>
    /// <param name="x">Inputs, [B, T, H, P].</param>
    /// <param name="delta">Time steps Δ, not negative, [B, T, H].</param>
    /// <param name="A">Decay, negative, [H].</param>
    /// <param name="Bt">Input maps, [B, T, G, N]; H / G neighbouring heads share one.</param>
    /// <param name="Ct">Output maps, [B, T, G, N].</param>
    /// <param name="D">Skip, [H, 1] or [H, P].</param>
    /// <param name="S">State before the piece, [B, H, P, N].</param>
    /// <returns>y [B, T, H, P] and the state after the piece.</returns>
    public static (Tensor Y, Tensor S) StateSpaceDuality(Tensor x, Tensor delta, Tensor A, Tensor Bt, Tensor Ct, Tensor D, Tensor S)
    {
        const long Chunk = 64;
        using var scope = NewDisposeScope();
        long T = x.size(1), H = x.size(2), G = Bt.size(2), R = H / G;
        var log = Heads(delta * A);                                                            // [B, G, R, T]
        var u = Heads(x * delta.unsqueeze(-1));                                                // [B, G, R, T, P]
        var (b, c) = (Bt.transpose(1, 2), Ct.transpose(1, 2));                                 // [B, G, T, N]
        var state = S.unflatten(1, [G, R]);                                                    // [B, G, R, P, N]
        var pieces = new List<Tensor>();
        for (long i = 0; i < T; i += Chunk)
        {
            using var piece = NewDisposeScope();
            long n = Math.Min(Chunk, T - i);
            var (y, next) = DualChunk(log.narrow(3, i, n), u.narrow(3, i, n), b.narrow(2, i, n), c.narrow(2, i, n), state);
            pieces.Add(y.MoveToOuterDisposeScope());
            state = next.MoveToOuterDisposeScope();
        }
        var o = cat(pieces, 3).flatten(1, 2).transpose(1, 2) + x * D;                          // [B, T, H, P]
        return (o.MoveToOuterDisposeScope(), state.flatten(1, 2).MoveToOuterDisposeScope());

        Tensor Heads(Tensor values) => values.unflatten(2, [G, R]).movedim([1], [3]);
    }

    // One chunk as attention without softmax, its scores faded by what lies between two tokens; the heads of a group side by side in a product.
    private static (Tensor Y, Tensor S) DualChunk(Tensor log, Tensor u, Tensor b, Tensor c, Tensor S)
    {
        long R = S.size(2), n = u.size(3);
        var past = Product(c, S.flatten(2, 3).transpose(-2, -1)).unflatten(3, [R, u.size(4)]).transpose(2, 3);   // [B, G, R, n, P]
        if (n == 1)
        {
            var decay = log.exp().unsqueeze(-1);                                               // [B, G, R, 1, 1]
            return (past * decay + u * Product(c, b.transpose(-2, -1)).unsqueeze(2), S * decay + u.transpose(-2, -1) * b.unsqueeze(2));
        }

        // In double precision: the difference of two large sums decides how much of a near token is left.
        var sum = log.to(ScalarType.Float64).cumsum(-1);                                       // [B, G, R, n]
        var between = (sum.unsqueeze(-1) - sum.unsqueeze(-2)).to(ScalarType.Float32).tril();
        var scores = (Product(c, b.transpose(-2, -1)).unsqueeze(2) * between.exp()).tril();    // [B, G, R, n, n]
        var last = sum.narrow(-1, n - 1, 1);
        var rest = u * (last - sum).to(ScalarType.Float32).exp().unsqueeze(-1);                // what the chunk's end has left of each token
        var added = Product(rest.transpose(-2, -1).flatten(2, 3), b).unflatten(2, [R, u.size(4)]);
        return (
            Product(scores, u) + past * sum.to(ScalarType.Float32).exp().unsqueeze(-1),
            S * last.to(ScalarType.Float32).exp().unsqueeze(-1) + added);
    }
}
