using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>The angles by which rotary position embedding turns the pairs of channels of a piece: cosines and sines, [T, pairs].</summary>
public sealed record Turns(Tensor Cos, Tensor Sin)
{
    /// <summary>Turns pair j, channels j and j + pairs, of each head.</summary>
    /// <param name="x">[B, H, T, E].</param>
    public Tensor Apply(Tensor x)
    {
        using var scope = NewDisposeScope();
        long pairs = Cos.size(1);
        var (a, b, rest) = (x.narrow(3, 0, pairs), x.narrow(3, pairs, pairs), x.narrow(3, 2 * pairs, x.size(3) - 2 * pairs));
        var (cos, sin) = (Cos.to(x.device), Sin.to(x.device));
        return cat([a * cos - b * sin, (b * cos).Plus(a * sin), rest], 3).MoveToOuterDisposeScope();
    }
}
