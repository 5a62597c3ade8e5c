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
}
