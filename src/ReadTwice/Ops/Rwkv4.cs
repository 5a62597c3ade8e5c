using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>RWKV-4's average of all values so far (arXiv 2305.13048), each weighted by e^key and fading with every token.</summary>
    /// <remarks>
    /// y_t = (Σ_{j&lt;t} e^(k_j + (t - 1 - j) w) v_j + e^(k_t + u) v_t) / the same sum without the values. The sums are kept relative to
    /// e^max, the largest term so far.
    /// </remarks>
    /// <param name="k">Keys, [B, T, D].</param>
    /// <param name="v">Values, [B, T, D].</param>
    /// <param name="w">The decay's logarithm, negative, [D].</param>
    /// <param name="u">What the current token's key is raised by, [D].</param>
    /// <param name="num">Sum with values before the piece, [B, D].</param>
    /// <param name="den">Sum without, [B, D].</param>
    /// <param name="max">Logarithm of the unit of both, [B, D].</param>
    /// <returns>y [B, T, D] and the sums after the piece.</returns>
    public static (Tensor Y, Tensor Num, Tensor Den, Tensor Max) Rwkv4(
        Tensor k, Tensor v, Tensor w, Tensor u, Tensor num, Tensor den, Tensor max)
    {
        if (!Spans.Fit(k, v, w, u, num, den, max)) return Rwkv4ByDoubling(k, v, w, u, num, den, max);
        using var scope = NewDisposeScope();
        Tensor[] operands = [k.contiguous(), v.contiguous(), w.contiguous(), u.contiguous(), num.contiguous(), den.contiguous(), max.contiguous()];
        var results = Spans.Learn(operands)
            ? Rwkv4Function.apply(operands)
            : Rwkv4Function.Read(operands[0], operands[1], operands[2], operands[3], operands[4], operands[5], operands[6]);
        foreach (var result in results) result.MoveToOuterDisposeScope();
        return (results[0], results[1], results[2], results[3]);
    }

    /// <summary>The same by libtorch's operators, which know other devices.</summary>
    internal static (Tensor Y, Tensor Num, Tensor Den, Tensor Max) Rwkv4ByDoubling(
        Tensor k, Tensor v, Tensor w, Tensor u, Tensor num, Tensor den, Tensor max)
    {
        using var scope = NewDisposeScope();
        long T = k.size(1);
        // Entry t sums over the n tokens that end there, entry 0 being the state; n doubles until it reaches the state from everywhere.
        var sums = (Num: cat([num.unsqueeze(1), v], 1), Den: cat([den.unsqueeze(1), ones_like(v)], 1), Max: cat([max.unsqueeze(1), k], 1));
        for (long n = 1; n <= T; n *= 2)
        {
            long rest = T + 1 - n;
            var late = (Num: sums.Num.narrow(1, n, rest), Den: sums.Den.narrow(1, n, rest), Max: sums.Max.narrow(1, n, rest));
            var joined = Add((sums.Num.narrow(1, 0, rest), sums.Den.narrow(1, 0, rest), sums.Max.narrow(1, 0, rest).Plus(w * Number(n))), late);
            sums = (cat([sums.Num.narrow(1, 0, n), joined.Num], 1), cat([sums.Den.narrow(1, 0, n), joined.Den], 1), cat([sums.Max.narrow(1, 0, n), joined.Max], 1));
        }
        var seen = Add((sums.Num.narrow(1, 0, T), sums.Den.narrow(1, 0, T), sums.Max.narrow(1, 0, T)), (v, ones_like(v), k.Plus(u)));
        return (
            (seen.Num / seen.Den).MoveToOuterDisposeScope(), At(sums.Num, T).MoveToOuterDisposeScope(),
            At(sums.Den, T).MoveToOuterDisposeScope(), At(sums.Max, T).MoveToOuterDisposeScope());

        static Tensor At(Tensor x, long t) => x.select(1, t).contiguous().clone();
    }

    // The unit is the larger of both; no result depends on it, so no gradient passes through it.
    private static (Tensor Num, Tensor Den, Tensor Max) Add((Tensor Num, Tensor Den, Tensor Max) a, (Tensor Num, Tensor Den, Tensor Max) b)
    {
        var max = maximum(a.Max, b.Max).detach();
        var (x, y) = ((a.Max - max).exp(), (b.Max - max).exp());
        return ((a.Num * x).Plus(b.Num * y), (a.Den * x).Plus(b.Den * y), max);
    }
}
