using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
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
        var u = delta * x;
        var (y, last) = Scan(Ct, h, (i, n) => (
            (delta.narrow(1, i, n).unsqueeze(-1) * A).exp(),
            u.narrow(1, i, n).unsqueeze(-1) * Bt.narrow(1, i, n).unsqueeze(2)));                // [B, n, I, N]
        return ((y + x * D).MoveToOuterDisposeScope(), last.MoveToOuterDisposeScope());
    }
}
