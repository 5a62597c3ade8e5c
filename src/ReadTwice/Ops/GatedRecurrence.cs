using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>The recurrence of HGRN (arXiv 2311.04823), channel by channel: h ← exp(g) h + x.</summary>
    /// <param name="x">Inputs, [B, T, E].</param>
    /// <param name="g">The logarithm of what is kept, at most 0, [B, T, E].</param>
    /// <param name="h">The state before this piece, [B, E].</param>
    /// <returns>Every state, [B, T, E], and the last.</returns>
    public static (Tensor O, Tensor H) GatedRecurrence(Tensor x, Tensor g, Tensor h)
    {
        // Linear attention of one head with one key channel, through which all is written and read.
        using var scope = NewDisposeScope();
        var one = ones(1, 1, 1, 1, device: x.device).expand(x.size(0), x.size(1), 1, 1);
        var (o, S) = LinearAttention(one, one, x.unsqueeze(2), h.unsqueeze(1).unsqueeze(1), 1, valueDecay: g.unsqueeze(2));
        return (o.squeeze(2).MoveToOuterDisposeScope(), S.squeeze(1).squeeze(1).MoveToOuterDisposeScope());
    }
}
