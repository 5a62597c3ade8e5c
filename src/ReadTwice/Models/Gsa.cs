using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Gated slot attention (GSA, arXiv 2409.07146): softmax attention over M slots, into which the tokens are written and fade.</summary>
/// <remarks>
/// [B, T, D] -> [B, T, D]. The state is hk [B, H, K, M] and hv [B, H, M, V], and conv_q, conv_k, conv_v where there are filters.
/// </remarks>
public sealed class GsaMixer : SequenceMixer
{
    private const double NormEpsilon = 1e-5;   // the authors' code ignores the config's

    private readonly FlaHeads heads;
    private readonly long M;
    private readonly double normalizer;
    private readonly FilteredProjection query;
    private readonly FilteredProjection key;
    private readonly FilteredProjection value;
    private readonly Linear forget;
    private readonly FeatureMap featureMap;
    private readonly RmsNorm norm;
    private readonly Linear output;

    /// <summary>Takes its parameters by the authors' names.</summary>
    public GsaMixer(ConfigJson config, WeightSource weights)
    {
        heads = FlaHeads.From(config, heads: 4, expandK: 1, expandV: 1);
        var (D, H, keyHeads, K, V) = heads;
        if (H * V != D)
            throw new InvalidDataException($"{config.Where("expand_v")} makes values of {H * V} channels; the norm after them has hidden_size, {D}, so 1 is needed.");
        M = config.IsNull("num_slots") ? K : config.Size("num_slots", 64);
        normalizer = config.Double("gate_logit_normalizer", 8);
        string map = config.String("feature_map", "swish");
        if (map is not ("swish" or "relu" or "t2r"))
            throw new InvalidDataException($"{config.Where("feature_map")} is \"{map}\"; known here: swish, relu, t2r.");
        long taps = Fla.Taps(config, otherwise: false);
        query = new(weights, "q", D, H * K, taps, "silu");
        key = new(weights, "k", D, keyHeads * K, taps, "silu");
        value = new(weights, "v", D, keyHeads * V, taps, "silu");
        forget = weights.Linear("f_proj", D, keyHeads * M);
        featureMap = new(weights.In("feature_map"), map, K);
        norm = Fla.OutputNorm(config, weights, "g_norm", D, NormEpsilon);
        output = weights.Linear("o_proj", D, D);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B)
    {
        var state = new LayerState { ["hk"] = zeros(B, heads.H, heads.K, M), ["hv"] = zeros(B, heads.H, M, heads.V) };
        foreach (var projection in (FilteredProjection[])[query, key, value]) projection.AddTo(state, B);
        return state;
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var q = featureMap.call(query.call(x, pass).unflatten(2, [heads.H, heads.K]));
        var k = featureMap.call(key.call(x, pass).unflatten(2, [heads.KeyHeads, heads.K]));
        var v = nn.functional.silu(value.call(x, pass));
        var g = nn.functional.logsigmoid(forget.call(x)) / Number(normalizer);
        var s = -g.expm1();
        if (pass.Mask is { } mask) s = s * mask.unsqueeze(-1);
        (var o, pass.State["hk"], pass.State["hv"]) = Ops.GatedSlotAttention(
            q, heads.Repeat(k.flatten(2)), heads.Repeat(v), heads.Repeat(s), heads.Repeat(g), pass.State["hk"], pass.State["hv"], scale: 1);
        return output.call(norm.call(nn.functional.silu(o.flatten(2)))).MoveToOuterDisposeScope();
    }
}

/// <summary>The published form of GSA.</summary>
public static class Gsa
{
    /// <summary>fla-org's.</summary>
    public static readonly CheckpointFamily Checkpoints = Fla.Family(
        "fla GSA", "gsa", (config, weights) => Fla.Build(config, weights, "gsa", (_, w) => new GsaMixer(config, w)), """
        {
          "model_type": "gsa", "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 4, "num_kv_heads": 2, "num_slots": 6, "intermediate_size": 40,
          "vocab_size": 96, "feature_map": "t2r", "use_short_conv": true
        }
        """);
}
