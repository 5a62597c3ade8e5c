using ReadTwice.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>What models compute with: the one place that picks between libtorch's operators and kernels of our own.</summary>
public static class Ops
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
        var at = arange(first, first + N);
        var pieces = new List<Tensor>();
        for (long i = 0; i < T; i += Block)
        {
            long n = Math.Min(Block, T - i);
            var query = arange(position + i, position + i + n).unsqueeze(1);
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

    /// <summary>Causal linear attention with the second-order Taylor feature map (Based, arXiv 2402.18668).</summary>
    /// <param name="q">Queries, [B, T, H, K].</param>
    /// <param name="k">Keys, [B, T, H, K].</param>
    /// <param name="v">Values, [B, T, H, V].</param>
    /// <param name="S">Sum of φ(k) vᵀ before this piece, [B, H, F, V], F the packed feature width.</param>
    /// <param name="z">Sum of φ(k) before this piece, [B, H, F].</param>
    /// <param name="scale">Factor of q·k inside the map.</param>
    /// <param name="epsilon">Added to the normaliser.</param>
    /// <param name="mask">Weight of each key, [B, T]; null for one.</param>
    /// <returns>o [B, T, H, V] and the state after the piece.</returns>
    public static (Tensor O, Tensor S, Tensor z) TaylorAttention(
        Tensor q, Tensor k, Tensor v, Tensor S, Tensor z, double scale, double epsilon, Tensor? mask = null)
    {
        const long Chunk = 128;
        using var scope = NewDisposeScope();
        var (qh, kh, vh) = (q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2));          // [B, H, T, ..]
        var weights = mask?.unsqueeze(1).unsqueeze(2);                                         // [B, 1, 1, T]
        var pieces = new List<Tensor>();
        for (long i = 0; i < q.size(1); i += Chunk)
        {
            long n = Math.Min(Chunk, q.size(1) - i);
            var (qi, ki, vi) = (qh.narrow(2, i, n) * scale, kh.narrow(2, i, n), vh.narrow(2, i, n));
            var s = Product(qi, ki.transpose(-2, -1));
            var A = 1 + s + s.square() / 2;
            if (weights is not null) A = A * weights.narrow(3, i, n);
            A = A.tril();                                                                      // [B, H, n, n]
            var (phiQ, phiK) = (TaylorFeatureMap.Queries(qi), TaylorFeatureMap.Keys(ki));       // [B, H, n, F]
            if (weights is not null) phiK = phiK * weights.narrow(3, i, n).transpose(-2, -1);
            var numerator = Product(A, vi) + Product(phiQ, S);
            var normaliser = A.sum(-1) + Product(phiQ, z.unsqueeze(-1)).squeeze(-1);
            pieces.Add(numerator / (normaliser + epsilon).unsqueeze(-1));
            S = S + Product(phiK.transpose(-2, -1), vi);
            z = z + phiK.sum(2);
        }
        var o = cat(pieces, 2).transpose(1, 2);
        return (o.MoveToOuterDisposeScope(), S.alias().MoveToOuterDisposeScope(), z.alias().MoveToOuterDisposeScope());
    }

    /// <summary>Adds the keys and values of a prefix to the state of linear attention (JRT-RNN, arXiv 2407.05483).</summary>
    /// <returns>The state with the prefix in it, before any query reads it.</returns>
    public static (Tensor S, Tensor z) TaylorPrefix(Tensor k, Tensor v, Tensor S, Tensor z, Tensor? mask = null)
    {
        using var scope = NewDisposeScope();
        var phiK = TaylorFeatureMap.Keys(k.transpose(1, 2));
        if (mask is not null) phiK = phiK * mask.unsqueeze(1).unsqueeze(-1);
        return ((S + Product(phiK.transpose(-2, -1), v.transpose(1, 2))).MoveToOuterDisposeScope(), (z + phiK.sum(2)).MoveToOuterDisposeScope());
    }

    /// <summary>The same with a decay of the numerator: S ← γ S + φ(k) vᵀ for each head, z as before.</summary>
    /// <param name="q">Queries, [B, T, H, K].</param>
    /// <param name="k">Keys, [B, T, H, K].</param>
    /// <param name="v">Values, [B, T, H, V].</param>
    /// <param name="logDecay">log γ, [H].</param>
    /// <param name="S">As in <see cref="TaylorAttention"/>.</param>
    /// <param name="z">As in <see cref="TaylorAttention"/>.</param>
    /// <param name="scale">Factor of q·k inside the map.</param>
    /// <param name="epsilon">Added to the normaliser.</param>
    /// <param name="mask">Weight of each key, [B, T]; null for one.</param>
    public static (Tensor O, Tensor S, Tensor z) DecayedTaylorAttention(
        Tensor q, Tensor k, Tensor v, Tensor logDecay, Tensor S, Tensor z, double scale, double epsilon, Tensor? mask = null)
    {
        const long Chunk = 128;
        using var scope = NewDisposeScope();
        var (qh, kh, vh) = (q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2));          // [B, H, T, ..]
        var weights = mask?.unsqueeze(1).unsqueeze(2);                                         // [B, 1, 1, T]
        var log = logDecay.view(1, -1, 1, 1);
        var pieces = new List<Tensor>();
        for (long i = 0; i < q.size(1); i += Chunk)
        {
            long n = Math.Min(Chunk, q.size(1) - i);
            var at = arange(n, ScalarType.Float32);
            var (qi, ki, vi) = (qh.narrow(2, i, n) * scale, kh.narrow(2, i, n), vh.narrow(2, i, n));
            var s = Product(qi, ki.transpose(-2, -1));
            var A = 1 + s + s.square() / 2;
            if (weights is not null) A = A * weights.narrow(3, i, n);
            A = A.tril();                                                                      // [B, H, n, n]
            var faded = A * (log * (at.unsqueeze(1) - at).tril()).exp();
            var (phiQ, phiK) = (TaylorFeatureMap.Queries(qi), TaylorFeatureMap.Keys(ki));       // [B, H, n, F]
            if (weights is not null) phiK = phiK * weights.narrow(3, i, n).transpose(-2, -1);
            var numerator = Product(faded, vi) + Product(phiQ, S) * (log * (at + 1).unsqueeze(1)).exp();
            var normaliser = A.sum(-1) + Product(phiQ, z.unsqueeze(-1)).squeeze(-1);
            pieces.Add(numerator / (normaliser + epsilon).unsqueeze(-1));
            S = S * (log * n).exp() + Product((phiK * (log * (n - 1 - at).unsqueeze(1)).exp()).transpose(-2, -1), vi);
            z = z + phiK.sum(2);
        }
        var o = cat(pieces, 2).transpose(1, 2);
        return (o.MoveToOuterDisposeScope(), S.alias().MoveToOuterDisposeScope(), z.alias().MoveToOuterDisposeScope());
    }

    /// <summary>The selective scan of Mamba (arXiv 2312.00752): h ← exp(Δ A) h + Δ x Bᵀ, y = h C + D x.</summary>
    /// <param name="x">Inputs, [B, T, I].</param>
    /// <param name="delta">Time steps Δ, already positive, [B, T, I].</param>
    /// <param name="A">Decay, negative, [I, N].</param>
    /// <param name="Bt">Input maps, [B, T, N].</param>
    /// <param name="Ct">Output maps, [B, T, N].</param>
    /// <param name="D">Skip, [I].</param>
    /// <param name="h">State before the piece, [B, I, N].</param>
    /// <returns>y [B, T, I] and the state after the piece.</returns>
    public static (Tensor Y, Tensor H) SelectiveScan(Tensor x, Tensor delta, Tensor A, Tensor Bt, Tensor Ct, Tensor D, Tensor h)
    {
        using var scope = NewDisposeScope();
        var steps = new List<Tensor>();
        for (long t = 0; t < x.size(1); t++)
        {
            using var step = NewDisposeScope();
            var dt = delta.select(1, t).unsqueeze(-1);                                         // [B, I, 1]
            h = ((dt * A).exp() * h + dt * x.select(1, t).unsqueeze(-1) * Bt.select(1, t).unsqueeze(1)).MoveToOuterDisposeScope();
            steps.Add(Product(h, Ct.select(1, t).unsqueeze(-1)).squeeze(-1).MoveToOuterDisposeScope());
        }
        var y = stack(steps, 1) + x * D;
        return (y.MoveToOuterDisposeScope(), h.alias().MoveToOuterDisposeScope());
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
