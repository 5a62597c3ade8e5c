using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Kimi delta attention (KDA, arXiv 2510.26692): the gated delta rule with a decay for each key channel.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is recurrent [B, ValueHeads, K, V], and conv_q, conv_k, conv_v where there are filters.</remarks>
public sealed class KdaMixer : SequenceMixer
{
    private readonly DeltaHeads heads;
    private readonly FilteredProjection query;
    private readonly FilteredProjection key;
    private readonly FilteredProjection value;
    private readonly LowRank decay;
    private readonly Parameter logA;
    private readonly Parameter decayBias;
    private readonly Linear beta;
    private readonly LowRank gate;
    private readonly RmsNorm norm;
    private readonly Linear output;
    private readonly double largest;
    private readonly double? leastDecay;

    /// <summary>Takes its parameters by the authors' names.</summary>
    public KdaMixer(ConfigJson config, WeightSource weights)
    {
        heads = DeltaHeads.From(config, heads: 16, headDim: 128, expandV: 1);
        var (D, H, valueHeads, K, V) = heads;
        long taps = Fla.Taps(config, otherwise: true);
        query = new(weights, "q", D, H * K, taps);
        key = new(weights, "k", D, H * K, taps);
        value = new(weights, "v", D, valueHeads * V, taps);
        decay = new(weights, "f_proj.0", "f_proj.1", D, V, valueHeads * K);
        logA = weights.Vector("A_log", valueHeads, Init.Drawn(valueHeads, even => (even * Number(15)).Plus(1).log()));
        decayBias = weights.Vector("dt_bias", valueHeads * K, MambaMixer.FirstSteps(valueHeads * K, (0.001, 0.1, 1e-4)));
        beta = weights.Linear("b_proj", D, valueHeads);
        gate = new(weights, "g_proj.0", "g_proj.1", D, V, valueHeads * V, bias: Init.Zeros);
        norm = weights.RmsNorm("o_norm", V, Fla.Epsilon(config));
        output = weights.Linear("o_proj", valueHeads * V, D);
        largest = config.Bool("allow_neg_eigval", false) ? 2 : 1;
        if (config.Has("lower_bound")) leastDecay = config.Double("lower_bound");
        if (leastDecay >= 0)
            throw new InvalidDataException($"{config.Where("lower_bound")} is {leastDecay}; the logarithm of a decay is needed, which is negative.");
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B) => heads.NewState(B, query, key, value);

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var q = heads.Units(nn.functional.silu(query.call(x, pass)));
        var k = heads.Units(nn.functional.silu(key.call(x, pass)));
        var v = heads.Values(nn.functional.silu(value.call(x, pass)));
        if (pass.Mask is { } mask) k = k * mask.unsqueeze(-1).unsqueeze(-1);
        var b = beta.call(x).sigmoid() * Number(largest);
        (var o, pass.State["recurrent"]) = Ops.DeltaRule(q, k, v, b, Decay(x), pass.State["recurrent"], Math.Pow(heads.K, -0.5));
        return output.call(norm.call(o).flatten(2) * gate.call(x).sigmoid()).MoveToOuterDisposeScope();
    }

    // The decay's logarithm, [B, T, ValueHeads, K].
    private Tensor Decay(Tensor x)
    {
        var f = decay.call(x).Plus(decayBias).unflatten(2, [heads.ValueHeads, heads.K]);
        var A = logA.exp().unsqueeze(-1);
        return leastDecay is { } least ? (A * f).sigmoid() * Number(least) : -A * f.Softplus();
    }
}

/// <summary>The published form of KDA.</summary>
public static class Kda
{
    /// <summary>fla-org's.</summary>
    public static readonly CheckpointFamily Checkpoints = Fla.Family(
        "fla KDA", "kda", (config, weights) => Fla.Build(config, weights, "kda", (_, w) => new KdaMixer(config, w)), """
        {
          "model_type": "kda", "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 2, "num_v_heads": 4, "head_dim": 8, "expand_v": 1.5,
          "intermediate_size": 40, "vocab_size": 96
        }
        """);
}
