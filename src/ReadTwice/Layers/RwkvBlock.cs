using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>RWKV's block: x ← x + mixer(norm(x)), then x ← x + channelMix(norm2(x)), both of which remember the token before.</summary>
/// <param name="preNorm">Replaces the stream before the first block; null for the others.</param>
/// <param name="norm">The norm of what the mixer reads.</param>
/// <param name="mixer">What mixes along time.</param>
/// <param name="norm2">The norm of what the channel mix reads.</param>
/// <param name="channelMix">What takes the place of an MLP.</param>
/// <param name="branchScale">Factor of what is added to the stream.</param>
/// <param name="streamScale">Factor of the stream that leaves.</param>
public sealed class RwkvBlock(
    LayerNorm? preNorm, LayerNorm norm, SequenceMixer mixer, LayerNorm norm2, SequenceMixer channelMix,
    double branchScale = 1, double streamScale = 1) : SequenceModule
{
    private readonly LayerNorm? preNorm = preNorm;
    private readonly LayerNorm norm = norm;
    private readonly SequenceMixer mixer = mixer;
    private readonly LayerNorm norm2 = norm2;
    private readonly SequenceMixer channelMix = channelMix;

    /// <inheritdoc/>
    public override long StateBytesPerToken => mixer.StateBytesPerToken;

    /// <inheritdoc/>
    public override string Kind => mixer.Kind;

    /// <inheritdoc/>
    public override LayerState NewState(long B)
    {
        var state = mixer.NewState(B);
        using var channels = channelMix.NewState(B);
        foreach (string name in channels.Names) state[name] = channels[name].alias();
        return state;
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, Tensor> AsPublished(LayerState state, long position)
    {
        var published = channelMix.AsPublished(state, position).ToDictionary();
        foreach (var (name, tensor) in mixer.AsPublished(state, position)) published[name] = tensor;
        return published;
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        if (preNorm is not null) x = preNorm.call(x);
        x = x.Plus(Scaled(mixer.call(norm.call(x), pass), branchScale));
        x = x.Plus(Scaled(channelMix.call(norm2.call(x), pass), branchScale));
        return Scaled(x, streamScale).MoveToOuterDisposeScope();
    }

    private static Tensor Scaled(Tensor x, double factor) => factor == 1 ? x : x * Number(factor);
}
