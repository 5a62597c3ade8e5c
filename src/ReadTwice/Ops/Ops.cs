using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>What models compute with: the one place that picks between libtorch's operators and kernels of our own.</summary>
public static partial class Ops
{
    /// <summary>Softmax attention of T queries over the keys up to each of them.</summary>
    /// <param name="q">Queries, [B, H, T, E]; the first stands at <paramref name="position"/>.</param>
    /// <param name="k">Keys, [B, KeyHeads, N, E]; the last stands where the last query does.</param>
    /// <param name="v">Values, [B, KeyHeads, N, E].</param>
    /// <param name="scale">Factor of the scores.</param>
    /// <param name="position">Position of the first query.</param>
    /// <param name="starts">Where each row's text begins, [B]; keys before it are not seen. Null for none.</param>
    /// <param name="window">How many keys before its own a query sees; null for all.</param>
    public static Tensor CausalAttention(
        Tensor q, Tensor k, Tensor v, double scale, long position, Tensor? starts = null, long? window = null)
    {
        const long Block = 512;   // so that a mask holds no more than 512 × N numbers
        using var scope = NewDisposeScope();
        long T = q.size(2), N = k.size(2), groups = q.size(1) / k.size(1);
        if (groups > 1) (k, v) = (k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1));
        q = q * Number(scale * Math.Sqrt(q.size(3)));
        bool limited = window is { } w && w < N - 1;
        if (starts is null && !limited && (T == 1 || T == N))
            return nn.functional.scaled_dot_product_attention(q, k, v, is_casual: T > 1).MoveToOuterDisposeScope();

        long first = position + T - N;   // position of the first key
        var at = Integers(first, first + N, q.device);
        var pieces = new List<Tensor>();
        for (long i = 0; i < T; i += Block)
        {
            long n = Math.Min(Block, T - i);
            var query = Integers(position + i, position + i + n, q.device).unsqueeze(1);
            var seen = at.le(query);                                                           // [n, N]
            if (window is { } width) seen = seen.logical_and(at.ge(query - Number(width)));
            if (starts is not null)                                                            // [B, 1, n, N]
                seen = seen.logical_and(at.ge(starts.view(-1, 1, 1, 1))).logical_or(at.eq(query));   // itself always, or softmax has nothing
            pieces.Add(nn.functional.scaled_dot_product_attention(q.narrow(2, i, n), k, v, attn_mask: seen));
        }
        return cat(pieces, 2).MoveToOuterDisposeScope();
    }

    /// <summary>The product of the last two axes, [.., n, m] · [.., m, p], by the operator that reports a bad shape instead of aborting.</summary>
    public static Tensor Product(Tensor a, Tensor b)
    {
        using var scope = NewDisposeScope();
        if (a.dim() == 2) return mm(a, b).MoveToOuterDisposeScope();
        long[] shape = [.. a.shape[..^1], b.size(-1)];
        var left = a.reshape(-1, a.size(-2), a.size(-1));
        var right = b.reshape(-1, b.size(-2), b.size(-1));
        return bmm(left, right).view(shape).MoveToOuterDisposeScope();
    }
}
