using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Bench;

/// <summary>Recurrences as one would first write them in torch: a few operators a token, without gradients, of one text.</summary>
/// <remarks>What does not hang on the state is computed for all tokens at once, and states change in place. Shapes as in <see cref="Ops"/>.</remarks>
internal static class TokenLoops
{
    public static (Tensor O, Tensor S) SelectiveScan(Tensor x, Tensor delta, Tensor A, Tensor Bt, Tensor Ct, Tensor D, Tensor h)
    {
        h = h.clone();
        var u = delta * x;
        var outputs = new List<Tensor>();
        for (long t = 0; t < x.size(1); t++)
        {
            using var token = NewDisposeScope();
            h.mul_((delta.select(1, t).unsqueeze(-1) * A).exp_()).addcmul_(u.select(1, t).unsqueeze(-1), Bt.select(1, t).unsqueeze(1), Number(1));
            outputs.Add(bmm(h, Ct.select(1, t).unsqueeze(-1)).squeeze(-1).MoveToOuterDisposeScope());
        }
        return (stack(outputs, 1).Plus(x * D), h);
    }

    public static (Tensor O, Tensor S) Duality(Tensor x, Tensor delta, Tensor A, Tensor Bt, Tensor Ct, Tensor D, Tensor S)
    {
        var (kept, u) = ((delta * A).exp(), x * delta.unsqueeze(-1));
        var (o, end) = Each(S, x.size(1), x.size(2), (t, s) =>
        {
            s.mul_(kept[0, t].view(-1, 1, 1)).addcmul_(Bt[0, t].unsqueeze(-1), u[0, t].unsqueeze(1), Number(1));
            return bmm(Ct[0, t].expand(s.size(0), -1).unsqueeze(1), s);
        });
        return (o.Plus(x * D), end);
    }

    public static (Tensor O, Tensor S) Gla(Tensor q, Tensor k, Tensor v, Tensor log, Tensor S, double scale)
    {
        var (reads, decay) = (q * Number(scale), log.exp());
        return Each(S, q.size(1), q.size(2), (t, s) =>
        {
            s.mul_(decay[0, t].unsqueeze(-1)).addcmul_(k[0, t].unsqueeze(-1), v[0, t].unsqueeze(1), Number(1));
            return bmm(reads[0, t].unsqueeze(1), s);
        });
    }

    public static (Tensor O, Tensor S) Delta(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor? log, Tensor S, double scale)
    {
        var (reads, writes, decay) = (q * Number(scale), k * beta.unsqueeze(-1), log?.exp());
        return Each(S, q.size(1), q.size(2), (t, s) =>
        {
            if (decay is not null) s.mul_(decay[0, t].view(-1, 1, 1));
            var missing = v[0, t].unsqueeze(1) - bmm(k[0, t].unsqueeze(1), s);
            s.addcmul_(writes[0, t].unsqueeze(-1), missing, Number(1));
            return bmm(reads[0, t].unsqueeze(1), s);
        });
    }

    public static (Tensor O, Tensor S) Rwkv7(Tensor r, Tensor w, Tensor k, Tensor v, Tensor a, Tensor b, Tensor S)
    {
        var decay = w.exp();
        return Each(S, r.size(1), r.size(2), (t, s) =>
        {
            var answer = bmm(a[0, t].unsqueeze(1), s);
            s.mul_(decay[0, t].unsqueeze(-1)).addcmul_(b[0, t].unsqueeze(-1), answer, Number(1)).addcmul_(k[0, t].unsqueeze(-1), v[0, t].unsqueeze(1), Number(1));
            return bmm(r[0, t].unsqueeze(1), s);
        });
    }

    // A token's output is [H, 1, V], the state it changes [H, K, V].
    private static (Tensor O, Tensor S) Each(Tensor S, long T, long H, Func<long, Tensor, Tensor> token)
    {
        var state = S.squeeze(0).clone();
        var outputs = new List<Tensor>();
        for (long t = 0; t < T; t++)
        {
            using var scope = NewDisposeScope();
            outputs.Add(token(t, state).MoveToOuterDisposeScope());
        }
        return (stack(outputs).view(1, T, H, -1), state.unsqueeze(0));
    }
}
