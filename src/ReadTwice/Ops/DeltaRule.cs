using ReadTwice.Kernels;
using ReadTwice.Native;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>The delta rule (arXiv 2406.06484): a token writes what the state does not already answer to its key.</summary>
    /// <remarks>S ← decay S; u = β (v - kᵀ S); S ← S + k uᵀ; o = scale · qᵀ S. With p, Comba's rule, u = β (v - pᵀ S) before the decay.</remarks>
    /// <param name="q">Queries, [B, T, H, K].</param>
    /// <param name="k">Keys, [B, T, H, K].</param>
    /// <param name="v">Values, [B, T, H, V].</param>
    /// <param name="beta">How much of the difference is written, [B, T, H].</param>
    /// <param name="log">The decay's logarithm, not positive, [B, T, H] or for each key channel [B, T, H, K]; null for none.</param>
    /// <param name="S">State before the piece, [B, H, K, V].</param>
    /// <param name="scale">Factor of the queries.</param>
    /// <param name="p">What the state is asked with instead of the key, before it decays, [B, T, H, K]; null for the key, after.</param>
    /// <returns>o [B, T, H, V] and the state after the piece.</returns>
    public static (Tensor O, Tensor S) DeltaRule(
        Tensor q, Tensor k, Tensor v, Tensor beta, Tensor? log, Tensor S, double scale, Tensor? p = null)
    {
        if (!Spans.Fit(q, k, v, beta, log, S, p)) return DeltaRuleInChunks(q, k, v, beta, log, S, scale, p);
        if (Spans.Learn(q, k, v, beta, log, S, p)) return DeltaRuleAsRwkv7(q, k, v, beta, log, S, scale, p);
        using var scope = NewDisposeScope();
        (q, k, v, beta, p) = (q.contiguous(), k.contiguous(), v.contiguous(), beta.contiguous(), p?.contiguous());
        var (decay, o, end) = (log?.exp().contiguous(), empty(v.shape), S.contiguous().clone());
        Kernels.DeltaRule.Forward(
            StateSizes(k, v), (float)scale, Spans.In(q), Spans.In(k), Spans.In(v), Spans.In(beta), Spans.In(decay), Spans.In(p), Spans.Ref(end), Spans.Ref(o),
            Libtorch.Threads);
        GC.KeepAlive((q, k, v, beta, p, decay));
        return (o.MoveToOuterDisposeScope(), end.MoveToOuterDisposeScope());
    }

    private static AttentionSizes StateSizes(Tensor k, Tensor v) => new((int)k.size(0), (int)k.size(1), (int)k.size(2), (int)k.size(3), (int)v.size(3));

    // S ← d ⊙ S - β k (aᵀ S) + k β vᵀ, where a key that asks after the decay asks before it as the decayed key.
    private static (Tensor O, Tensor S) DeltaRuleAsRwkv7(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor? log, Tensor S, double scale, Tensor? p)
    {
        using var scope = NewDisposeScope();
        var (decay, write) = (log?.exp(), beta.unsqueeze(-1));
        var asks = p ?? (decay is null ? k : k * (decay.dim() == 3 ? decay.unsqueeze(-1) : decay));
        var (o, end) = Rwkv7Function.Of(q * Number(scale), decay, k, v * write, asks, -write * k, S);
        return (o.MoveToOuterDisposeScope(), end.MoveToOuterDisposeScope());
    }

    /// <summary>The same by libtorch's operators, on any device.</summary>
    internal static (Tensor O, Tensor S) DeltaRuleInChunks(
        Tensor q, Tensor k, Tensor v, Tensor beta, Tensor? log, Tensor S, double scale, Tensor? p = null)
    {
        using var scope = NewDisposeScope();
        var (qc, kc) = (Chunks.Cut(q * Number(scale)), Chunks.Cut(k));
        var (asks, values) = (Chunks.Cut((p ?? k) * beta.unsqueeze(-1)), Chunks.Cut(v * beta.unsqueeze(-1)));
        var (before, with) = log is null ? default((Tensor?, Tensor?)) : Chunks.Decays(log.dim() == 3 ? log.unsqueeze(-1) : log);
        var asked = p is null ? with : before;

        // Inside a chunk u_i = β_i v_i - asks_i S - Σ M_ij u_j, which (1 + M)⁻¹ solves for all tokens at once.
        var solve = Chunks.Inverse(Chunks.Scores(asks, kc, asked, with), asks.select(-1, 0));
        var written = Product(solve, values);                                                  // [N, B, H, C, V]
        var answered = Product(solve, Chunks.Fade(asks, asked));                               // [N, B, H, C, K]
        var own = Chunks.Triangle(Chunks.Scores(qc, kc, with, with), (qc * kc).sum(-1));       // [N, B, H, C, C]
        var reads = Chunks.Fade(qc, with);
        var writes = Chunks.FadeToEnd(kc, with).transpose(-2, -1);
        var fade = Chunks.OfState(with);
        var pieces = new List<Tensor>();
        for (long n = 0; n < kc.size(0); n++)
        {
            var u = written[n] - Product(answered[n], S);
            pieces.Add(Product(reads[n], S).Plus(Product(own[n], u)));
            S = (fade is null ? S : fade[n] * S).Plus(Product(writes[n], u));
        }
        return (Chunks.Join(stack(pieces), q.size(1)).MoveToOuterDisposeScope(), S.alias().MoveToOuterDisposeScope());
    }
}
