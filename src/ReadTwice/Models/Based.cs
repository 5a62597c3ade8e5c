using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Causal linear attention with the Taylor feature map, the mixer of Based (arXiv 2402.18668).</summary>
/// <remarks>
/// x and the result are [B, T, D]; the state is S [B, H, F, V] and z [B, H, F]. With a decay γ per head the numerator fades,
/// S ← γ S + φ(k) vᵀ, and is multiplied by a gate; the normaliser is neither faded nor gated.
/// </remarks>
public sealed class TaylorLinearAttention(TaylorAttentionConfig config, WeightSource weights, Parameter? logDecay = null) : SequenceMixer
{
    private readonly Linear query = weights.Linear(nameof(query), config.D, config.H * config.K);
    private readonly Linear key = weights.Linear(nameof(key), config.D, config.H * config.K);
    private readonly Linear value = weights.Linear(nameof(value), config.D, config.H * config.V);
    private readonly Linear? gate = logDecay is null ? null : weights.Linear(nameof(gate), config.D, config.H);
    private readonly Parameter? logDecay = logDecay;
    private readonly Linear output = weights.Linear(nameof(output), config.H * config.V, config.D);

    /// <inheritdoc/>
    public override LayerState NewState(long B) => config.NewState(B);

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, Tensor> AsPublished(LayerState state, long position) => config.AsPublished(state);

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var (q, k, v) = (Heads(query.call(x), config.K), Heads(key.call(x), config.K), Heads(value.call(x), config.V));
        Tensor o;
        if (logDecay is null && pass.IsWhole) o = Ops.TaylorAttentionOfWhole(q, k, v, config.Scale, config.Epsilon);
        else if (logDecay is null)
            (o, pass.State["S"], pass.State["z"]) = Ops.TaylorAttention(
                q, k, v, pass.State["S"], pass.State["z"], config.Scale, config.Epsilon, pass.MaskUnlessPublished);
        else
        {
            (o, pass.State["S"], pass.State["z"]) = Ops.DecayedTaylorAttention(
                q, k, v, logDecay, pass.State["S"], pass.State["z"], config.Scale, config.Epsilon, pass.MaskUnlessPublished);
            o = o * gate!.call(x).unsqueeze(-1);
        }
        return output.call(o.flatten(2)).MoveToOuterDisposeScope();
    }

    private Tensor Heads(Tensor x, long width) => x.unflatten(2, [config.H, width]);
}

/// <summary>The gated short convolution of Based and JRT-RNN: out(silu(conv(u1)) ⊙ u2), [u1 | u2] = in(x).</summary>
/// <remarks>x and the result are [B, T, D]; the state is conv [B, I, taps - 1].</remarks>
public sealed class GatedConvolution(WeightSource weights, long D, long I, long taps, bool bias) : SequenceMixer
{
    private readonly Linear input = weights.Linear(nameof(input), D, 2 * I, bias);
    private readonly ShortConvolution conv = new(weights.In(nameof(conv)), I, taps, weights.Has("conv.bias"), "silu");
    private readonly Linear output = weights.Linear(nameof(output), I, D, bias);

    /// <inheritdoc/>
    public override LayerState NewState(long B) => new() { ["conv"] = conv.NewState(B) };

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        (var y, pass.State["conv"]) = conv.ReadGated(input.call(x), pass.State["conv"], pass.MaskUnlessPublished);
        return output.call(y).MoveToOuterDisposeScope();
    }
}
