using ReadTwice.Checkpoints;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>RWKV's token shift: each token, [B, T, D], beside the one before it, which is zero at the start of a text.</summary>
/// <param name="X">The tokens.</param>
/// <param name="Before">The tokens one place earlier.</param>
public readonly record struct TokenShift(Tensor X, Tensor Before)
{
    /// <summary>Sets tokens beside those before them; the state under this name, [B, D], becomes the last.</summary>
    /// <remarks>Padding becomes zero, which is what stands before a text.</remarks>
    public static TokenShift Read(Tensor x, Pass pass, string state)
    {
        using var scope = NewDisposeScope();
        if (pass.Mask is { } mask) x = x * mask.unsqueeze(-1);
        var before = cat([pass.State[state].unsqueeze(1), x.narrow(1, 0, x.size(1) - 1)], 1);
        pass.State[state] = x.select(1, -1).clone();
        return new(x.alias().MoveToOuterDisposeScope(), before.MoveToOuterDisposeScope());
    }

    /// <summary>x + share ⊙ (before - x): each channel takes its share from the token before.</summary>
    /// <param name="share">[D], or [B, T, D].</param>
    public Tensor Mix(Tensor share)
    {
        using var scope = NewDisposeScope();
        return X.Plus((Before - X) * share).MoveToOuterDisposeScope();
    }

    /// <summary>How shares start: the first channel takes all from the token before, the last almost nothing.</summary>
    /// <param name="D">Channels.</param>
    /// <param name="ofToken">Whether they are the token's own shares.</param>
    /// <param name="power">Below 1, channels turn sooner to the token itself.</param>
    /// <param name="more">What is added to the token's own shares.</param>
    public static Init Shares(long D, bool ofToken = false, double power = 1, double more = 0) => Init.Values(() =>
    {
        var own = (Integers(0, D).to(ScalarType.Float32) / Number(D)).pow(Number(power)).Plus(more);
        return ofToken ? own : own.neg().Plus(1);
    });
}
