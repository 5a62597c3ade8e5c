using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>A linear recurrence of every channel for itself, h ← a ⊙ h + b.</summary>
    /// <param name="a">What is kept of the state, [B, T, ..].</param>
    /// <param name="b">What is added, [B, T, ..].</param>
    /// <param name="h">State before the piece, [B, ..].</param>
    /// <returns>The state after each token, [B, T, ..], and after the last, [B, ..].</returns>
    public static (Tensor Y, Tensor H) Scan(Tensor a, Tensor b, Tensor h)
    {
        using var scope = NewDisposeScope();
        long T = a.size(1);
        var y = T == 1 ? a * h.unsqueeze(1) + b : Doubled(a, cat([a.narrow(1, 0, 1) * h.unsqueeze(1) + b.narrow(1, 0, 1), b.narrow(1, 1, T - 1)], 1));
        return (y.MoveToOuterDisposeScope(), y.select(1, T - 1).clone().MoveToOuterDisposeScope());
    }

    // Each token comes to stand for the n tokens up to it, then for 2 n: what they keep, and what they add.
    private static Tensor Doubled(Tensor a, Tensor b)
    {
        for (long n = 1, T = a.size(1); n < T; n *= 2)
        {
            var later = a.narrow(1, n, T - n);
            b = cat([b.narrow(1, 0, n), later * b.narrow(1, 0, T - n) + b.narrow(1, n, T - n)], 1);
            a = cat([a.narrow(1, 0, n), later * a.narrow(1, 0, T - n)], 1);
        }
        return b;
    }

    // y = h C of a recurrence over [I, N], whose factors and summands are made for a chunk at a time, as they are N times the input.
    private static (Tensor Y, Tensor H) Scan(Tensor Ct, Tensor h, Func<long, long, (Tensor A, Tensor B)> chunk)
    {
        const long Chunk = 64;
        long T = Ct.size(1);
        var pieces = new List<Tensor>();
        for (long i = 0; i < T; i += Chunk)
        {
            using var piece = NewDisposeScope();
            long n = Math.Min(Chunk, T - i);
            var (a, b) = chunk(i, n);
            (var all, h) = Scan(a, b, h);                                                       // [B, n, I, N]
            pieces.Add(Product(all, Ct.narrow(1, i, n).unsqueeze(-1)).squeeze(-1).MoveToOuterDisposeScope());
            h.MoveToOuterDisposeScope();
        }
        return (cat(pieces, 1), h);
    }
}
