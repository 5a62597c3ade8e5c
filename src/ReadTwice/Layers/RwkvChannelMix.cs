using ReadTwice.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>RWKV's channel mix: σ(Wr x_r) ⊙ Wv act(Wk x_k), where x_r and x_k take shares from the token before; RWKV-7 has no σ.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is the last token, [B, D].</remarks>
public sealed class RwkvChannelMix : SequenceMixer
{
    private readonly Parameter keyMix;
    private readonly Linear key;
    private readonly Parameter? receptanceMix;
    private readonly Linear? receptance;
    private readonly Linear value;
    private readonly Func<Tensor, Tensor> activation;
    private readonly string state;
    private readonly bool ofToken;

    /// <summary>Takes keyMix, key, receptanceMix, receptance and value from the source.</summary>
    /// <param name="weights">Its part of the source.</param>
    /// <param name="D">Model width.</param>
    /// <param name="width">Channels between key and value.</param>
    /// <param name="activation">What follows the key.</param>
    /// <param name="state">The name of its state.</param>
    /// <param name="gated">Whether there is a receptance.</param>
    /// <param name="ofToken">Whether the learned shares are the token's own, as in RWKV-4, and not the one's before.</param>
    /// <param name="power">The power of the channel by which the shares start.</param>
    public RwkvChannelMix(
        WeightSource weights, long D, long width, string activation, string state = "shift_ffn", bool gated = true, bool ofToken = false, double power = 1)
    {
        long[] shares = ofToken ? [1, 1, D] : [D];
        keyMix = weights.Tensor(nameof(keyMix), shares, TokenShift.Shares(D, ofToken, power));
        key = weights.Linear(nameof(key), D, width);
        if (gated)
        {
            receptanceMix = weights.Tensor(nameof(receptanceMix), shares, TokenShift.Shares(D, ofToken, power));
            receptance = weights.Linear(nameof(receptance), D, D);
        }
        value = weights.Linear(nameof(value), width, D);
        this.activation = Activation.Named(activation);
        this.state = state;
        this.ofToken = ofToken;
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B) => new() { [state] = zeros(B, value.Weight.size(0)) };

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var shift = TokenShift.Read(x, pass, state);
        Tensor Mixed(Tensor share) => shift.Mix(ofToken ? share.neg().Plus(1) : share);
        var y = value.call(activation(key.call(Mixed(keyMix))));
        if (receptance is not null) y = receptance.call(Mixed(receptanceMix!)).sigmoid() * y;
        return y.MoveToOuterDisposeScope();
    }
}
