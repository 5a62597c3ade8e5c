using ReadTwice.Kernels.Cuda;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>What models compute with: the one place that picks between libtorch's operators and kernels of our own.</summary>
public static partial class Ops
{
    /// <summary>x Wᵀ + b in the type of W: x [.., inputs] float32 -> [.., outputs] float32.</summary>
    public static Tensor Linear(Tensor x, Tensor weight, Tensor? bias)
    {
        if (weight.dtype == ScalarType.Float32) return nn.functional.linear(x, weight, bias);
        using var scope = NewDisposeScope();
        var y = nn.functional.linear(x.to(weight.dtype), weight).to(ScalarType.Float32);
        if (bias is not null) y = y.add_(bias);
        return y.MoveToOuterDisposeScope();
    }

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
        q = q * (scale * Math.Sqrt(q.size(3)));
        bool limited = window is { } w && w < N - 1;
        if (starts is null && !limited && (T == 1 || T == N))
            return nn.functional.scaled_dot_product_attention(q, k, v, is_casual: T > 1).MoveToOuterDisposeScope();

        long first = position + T - N;   // position of the first key
        var at = arange(first, first + N, device: q.device);
        var pieces = new List<Tensor>();
        for (long i = 0; i < T; i += Block)
        {
            long n = Math.Min(Block, T - i);
            var query = arange(position + i, position + i + n, device: q.device).unsqueeze(1);
            var seen = at.le(query);                                                           // [n, N]
            if (window is { } width) seen = seen.logical_and(at.ge(query - width));
            if (starts is not null)                                                            // [B, 1, n, N]
                seen = seen.logical_and(at.ge(starts.view(-1, 1, 1, 1))).logical_or(at.eq(query));   // itself always, or softmax has nothing
            pieces.Add(nn.functional.scaled_dot_product_attention(q.narrow(2, i, n), k, v, attn_mask: seen));
        }
        return cat(pieces, 2).MoveToOuterDisposeScope();
    }

    /// <summary>A short causal filter for each channel.</summary>
    /// <param name="x">[B, T, C].</param>
    /// <param name="weight">[C, 1, K]; the last tap meets the current token.</param>
    /// <param name="bias">[C], or null.</param>
    /// <param name="state">The K - 1 inputs before x, oldest first, [B, C, K - 1].</param>
    /// <returns>The filtered sequence [B, T, C], and the last K - 1 inputs.</returns>
    public static (Tensor Y, Tensor State) ShortConvolution(Tensor x, Tensor weight, Tensor? bias, Tensor state)
    {
        using var scope = NewDisposeScope();
        var padded = cat([state, x.transpose(1, 2)], 2);                                       // [B, C, K - 1 + T]
        var y = nn.functional.conv1d(padded, weight, bias, groups: weight.size(0)).transpose(1, 2);
        var last = padded.narrow(2, x.size(1), state.size(2)).contiguous().clone();
        return (y.MoveToOuterDisposeScope(), last.MoveToOuterDisposeScope());
    }

    /// <summary>The gated form of the same (Based, arXiv 2402.18668): silu(filter(u)) w, where a row of the input is [u | w].</summary>
    /// <param name="uw">[B, T, 2 C].</param>
    /// <param name="weight">[C, 1, K].</param>
    /// <param name="bias">[C], or null.</param>
    /// <param name="state">As in <see cref="ShortConvolution"/>.</param>
    /// <param name="mask">1 where a token is real and 0 where it is padding, [B, T]; null for all real.</param>
    /// <returns>[B, T, C], and the last K - 1 inputs.</returns>
    public static (Tensor Y, Tensor State) GatedConvolution(Tensor uw, Tensor weight, Tensor? bias, Tensor state, Tensor? mask = null)
    {
        if (CudaKernels(uw) is { } device && mask is null && !Spans.Learn(uw, weight, bias, state) && CudaGatedConvolution.Serves(weight.size(0), weight.size(2)))
            return CudaConvolution.Filter(device, uw, weight, bias, state);
        using var scope = NewDisposeScope();
        var halves = uw.chunk(2, -1);
        var (y, next) = ShortConvolution(mask is null ? halves[0] : halves[0] * mask.unsqueeze(-1), weight, bias, state);
        return ((nn.functional.silu(y) * halves[1]).MoveToOuterDisposeScope(), next.MoveToOuterDisposeScope());
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
