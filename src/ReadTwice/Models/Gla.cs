using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Gated linear attention (GLA, arXiv 2312.06635): each key channel of the state fades as far as the token says.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is recurrent [B, H, K, V], and conv_q, conv_k, conv_v where there are filters.</remarks>
public sealed class GlaMixer : SequenceMixer
{
    // The authors' code fixes both, whatever a config says.
    private const long DecayRank = 16;
    private const double DecayNormalizer = 16;

    private readonly FlaHeads heads;
    private readonly FilteredProjection query;
    private readonly FilteredProjection key;
    private readonly FilteredProjection value;
    private readonly Linear decayDown;
    private readonly Linear decayUp;
    private readonly Linear? gate;
    private readonly RmsNorm norm;
    private readonly Linear output;
    private readonly Func<Tensor, Tensor>? featureMap;
    private readonly Func<Tensor, Tensor, Tensor> gated;
    private readonly double? leastDecay;

    /// <summary>Takes its parameters by the authors' names.</summary>
    public GlaMixer(ConfigJson config, WeightSource weights)
    {
        heads = FlaHeads.From(config, heads: 4, expandK: 0.5, expandV: 1);
        var (D, H, keyHeads, K, V) = heads;
        long taps = Fla.Taps(config, otherwise: false);
        query = new(weights, "q", D, H * K, taps, "silu");
        key = new(weights, "k", D, keyHeads * K, taps, "silu");
        value = new(weights, "v", D, keyHeads * V, taps, "silu");
        decayDown = weights.Linear("gk_proj.0", D, DecayRank);
        decayUp = weights.Linear("gk_proj.1", DecayRank, keyHeads * K, bias: true);
        if (config.Bool("use_output_gate", true)) gate = weights.Linear("g_proj", D, H * V);
        norm = Fla.GatedNorm(config, weights, V);
        output = weights.Linear("o_proj", H * V, D);
        if (config.Has("feature_map")) featureMap = FeatureMap(config.String("feature_map"));
        gated = Activation.Gate(config.String("hidden_act", "swish"));
        if (config.Has("clamp_min")) leastDecay = config.Double("clamp_min");
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B)
    {
        var state = new LayerState { ["recurrent"] = zeros(B, heads.H, heads.K, heads.V) };
        foreach (var projection in (FilteredProjection[])[query, key, value]) projection.AddTo(state, B);
        return state;
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var (q, k, v) = (query.call(x, pass), key.call(x, pass), value.call(x, pass));
        if (featureMap is not null) (q, k) = (featureMap(q), featureMap(k));
        if (pass.Mask is { } mask) k = k * mask.unsqueeze(-1);
        var g = nn.functional.logsigmoid(decayUp.call(decayDown.call(x))) / Number(DecayNormalizer);
        if (leastDecay is { } least) g = g.clamp_min(Number(least));
        (var o, pass.State["recurrent"]) = Ops.LinearAttention(
            q.unflatten(2, [heads.H, heads.K]), heads.Repeat(k), heads.Repeat(v), pass.State["recurrent"], Math.Pow(heads.K, -0.5), heads.Repeat(g));
        o = norm.call(o).flatten(2);
        if (gate is not null) o = gated(o, gate.call(x));
        return output.call(o).MoveToOuterDisposeScope();
    }

    // The authors' "gelu" here is the approximation by tanh.
    private static Func<Tensor, Tensor> FeatureMap(string name) => name switch
    {
        "gelu" => Activation.Named("gelu_new"),
        "logsigmoid" => x => nn.functional.logsigmoid(x),
        _ => Activation.Named(name),
    };
}

/// <summary>The published form of GLA.</summary>
public static class Gla
{
    /// <summary>fla-org's.</summary>
    public static readonly CheckpointFamily Checkpoints = Fla.Family(
        "fla GLA", "gla", (config, weights) => Fla.Build(config, weights, "gla", (_, w) => new GlaMixer(config, w)), """
        {
          "model_type": "gla", "hidden_size": 32, "num_hidden_layers": 3, "num_heads": 4, "num_kv_heads": 2, "intermediate_size": 40, "vocab_size": 96,
          "use_short_conv": true, "attn": { "layers": [1], "num_heads": 4, "num_kv_heads": 2, "window_size": 8 }
        }
        """);
}
