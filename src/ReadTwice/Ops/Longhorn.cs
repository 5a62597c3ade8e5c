using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>The recurrence of Longhorn (arXiv 2407.14207): S ← (1 - e k²) S + e x kᵀ, y = S q + D x, with e = β / (1 + β |k|²).</summary>
    /// <remarks>It is what the state must be, taken channel by channel, to recall x under the key k without leaving what it was by much.</remarks>
    /// <param name="x">What is to be recalled, [B, T, I].</param>
    /// <param name="beta">How much it matters, between 0 and 1, [B, T, I].</param>
    /// <param name="k">Keys, [B, T, N].</param>
    /// <param name="q">Queries, [B, T, N].</param>
    /// <param name="D">Skip, [I].</param>
    /// <param name="S">State before the piece, [B, I, N].</param>
    /// <returns>y [B, T, I] and the state after the piece.</returns>
    public static (Tensor Y, Tensor S) Longhorn(Tensor x, Tensor beta, Tensor k, Tensor q, Tensor D, Tensor S)
    {
        using var scope = NewDisposeScope();
        var k2 = k.square();
        var e = beta / (1 + beta * k2.sum(-1, keepdim: true));                                  // [B, T, I]
        var u = e * x;
        var (y, last) = Scan(q, S, (i, n) => (
            1 - e.narrow(1, i, n).unsqueeze(-1) * k2.narrow(1, i, n).unsqueeze(2),
            u.narrow(1, i, n).unsqueeze(-1) * k.narrow(1, i, n).unsqueeze(2)));                 // [B, n, I, N]
        return ((y + x * D).MoveToOuterDisposeScope(), last.MoveToOuterDisposeScope());
    }
}
