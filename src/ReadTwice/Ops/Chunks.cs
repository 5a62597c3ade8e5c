using System.Numerics;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>
/// What recurrences of a decaying matrix state share when they are computed in chunks: inside a chunk tokens meet in products of
/// matrices, and only the state goes from chunk to chunk.
/// </summary>
/// <remarks>
/// A chunk holds C tokens, a power of two, and N chunks are laid out as [N, B, H, C, ..]. Triangles are built from blocks that double:
/// the later half of a block reads the earlier one, and decays are counted from where the halves meet, so no exponent is positive.
/// </remarks>
internal static class Chunks
{
    private const long Longest = 64;

    // Below it e^x is zero in float32, and sums of it stay far from infinity.
    private const double Faded = -200;

    /// <summary>How many tokens a chunk holds, for a piece of T tokens.</summary>
    public static long Length(long T) => T >= Longest ? Longest : (long)BitOperations.RoundUpToPowerOf2((ulong)T);

    /// <summary>[B, T, H, n] -> [N, B, H, C, n], with zeros after the last token: they leave a state as it is.</summary>
    public static Tensor Cut(Tensor x)
    {
        using var scope = NewDisposeScope();
        long T = x.size(1), C = Length(T), missing = (C - T % C) % C;
        if (missing > 0) x = cat([x, zeros([x.size(0), missing, .. x.shape[2..]], x.dtype, x.device)], 1);
        return x.unflatten(1, [-1, C]).permute(1, 0, 3, 2, 4).contiguous().MoveToOuterDisposeScope();
    }

    /// <summary>[N, B, H, C, n] -> [B, T, H, n].</summary>
    public static Tensor Join(Tensor x, long T)
    {
        using var scope = NewDisposeScope();
        return x.permute(1, 0, 3, 2, 4).flatten(1, 2).narrow(1, 0, T).MoveToOuterDisposeScope();
    }

    /// <summary>Logarithms of each token's decay, [B, T, H, n], as those since the chunk began: before the token and with it.</summary>
    /// <remarks>In float64: what is left after strong decays is a small difference of large sums.</remarks>
    public static (Tensor Before, Tensor With) Decays(Tensor log)
    {
        using var scope = NewDisposeScope();
        var each = Cut(log.clamp_min(Number(Faded))).to(ScalarType.Float64);
        var with = each.cumsum(-2);
        return ((with - each).MoveToOuterDisposeScope(), with.MoveToOuterDisposeScope());
    }

    /// <summary>x faded by a decay's logarithm; null for none.</summary>
    public static Tensor Fade(Tensor x, Tensor? log)
    {
        if (log is null) return x.alias();
        using var scope = NewDisposeScope();
        return (x * log.exp().to(x.dtype)).MoveToOuterDisposeScope();
    }

    /// <summary>What is left of each token's x at its chunk's end.</summary>
    public static Tensor FadeToEnd(Tensor x, Tensor? decay)
    {
        if (decay is null) return x.alias();
        using var scope = NewDisposeScope();
        return Fade(x, Last(decay) - decay).MoveToOuterDisposeScope();
    }

    /// <summary>The factor of the state over each chunk, [N, B, H, n, 1]; null where nothing decays.</summary>
    public static Tensor? OfState(Tensor? decay)
    {
        if (decay is null) return null;
        using var scope = NewDisposeScope();
        return Last(decay).exp().to(ScalarType.Float32).transpose(-2, -1).MoveToOuterDisposeScope();
    }

    /// <summary>Σ_c x_ic y_jc e^(reads_ic - writes_jc) for tokens j before i of one chunk, as the blocks that <see cref="Triangle"/> and <see cref="Inverse"/> join.</summary>
    /// <param name="x">What reads, [.., C, n].</param>
    /// <param name="y">What was written, [.., C, n].</param>
    /// <param name="reads">The logarithm of the decay from the chunk's beginning to what x reads; null for none.</param>
    /// <param name="writes">The same up to what y wrote.</param>
    public static IReadOnlyList<Tensor> Scores(Tensor x, Tensor y, Tensor? reads, Tensor? writes)
    {
        var blocks = new List<Tensor>();
        for (long n = 1; n < x.size(-2); n *= 2)
        {
            using var scope = NewDisposeScope();
            var (late, early) = (Half(x, n, 1), Half(y, n, 0));
            if (writes is not null)
            {
                var kept = Half(writes, n, 0);
                var meeting = Last(kept);
                (late, early) = (Fade(late, Half(reads!, n, 1) - meeting), Fade(early, meeting - kept));
            }
            blocks.Add(Ops.Product(late, early.transpose(-2, -1)).MoveToOuterDisposeScope());
        }
        return blocks;
    }

    /// <summary>The lower triangle [.., C, C] of these blocks and this diagonal, [.., C].</summary>
    public static Tensor Triangle(IReadOnlyList<Tensor> blocks, Tensor diagonal)
    {
        using var scope = NewDisposeScope();
        var triangle = diagonal.unsqueeze(-1).unsqueeze(-1);
        foreach (var block in blocks) triangle = Square(triangle, block);
        return triangle.squeeze(-3).MoveToOuterDisposeScope();
    }

    /// <summary>The inverse of 1 + M, [.., C, C], where M is strictly lower and made of these blocks.</summary>
    public static Tensor Inverse(IReadOnlyList<Tensor> blocks, Tensor like)
    {
        using var scope = NewDisposeScope();
        var inverse = ones_like(like).unsqueeze(-1).unsqueeze(-1);
        foreach (var block in blocks)
            inverse = Square(inverse, -Ops.Product(Ops.Product(Half(inverse, 1, 1, -3).squeeze(-3), block), Half(inverse, 1, 0, -3).squeeze(-3)));
        return inverse.squeeze(-3).MoveToOuterDisposeScope();
    }

    // [.., C, m] -> [.., C / 2n, n, m]: of each two blocks of n the first or the second.
    private static Tensor Half(Tensor x, long n, long which, int axis = -2)
    {
        using var scope = NewDisposeScope();
        return x.unflatten(x.dim() + axis, [-1, 2, n]).select(axis - 1, which).MoveToOuterDisposeScope();
    }

    private static Tensor Last(Tensor x) => x.narrow(-2, x.size(-2) - 1, 1);

    // [.., 2 m, n, n] and [.., m, n, n] -> [.., m, 2 n, 2 n]: pairs of triangles on the diagonal, a block below it.
    private static Tensor Square(Tensor triangles, Tensor below)
    {
        using var scope = NewDisposeScope();
        var (first, second) = (Half(triangles, 1, 0, -3).squeeze(-3), Half(triangles, 1, 1, -3).squeeze(-3));
        return cat([cat([first, zeros_like(below)], -1), cat([below, second], -1)], -2).MoveToOuterDisposeScope();
    }
}
