using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Linear attention (arXiv 2006.16236) with a feature map by choice, learned or fixed, and a norm instead of the normaliser.</summary>
/// <remarks>
/// [B, T, D] -> [B, T, D]. The state is recurrent [B, H, F, V] and, where the output is normalised, z [B, 1, H, F], the sum of the keys.
/// </remarks>
public sealed class LinearAttentionMixer : SequenceMixer
{
    private readonly FlaHeads heads;
    private readonly Linear query;
    private readonly Linear key;
    private readonly Linear value;
    private readonly FeatureMap queryMap;
    private readonly FeatureMap? keyMap;
    private readonly RmsNorm norm;
    private readonly Linear output;
    private readonly bool queriesSumToOne;
    private readonly bool keysSumToOne;
    private readonly bool normalised;

    /// <summary>Takes its parameters by the authors' names.</summary>
    public LinearAttentionMixer(ConfigJson config, WeightSource weights)
    {
        heads = FlaHeads.From(config, heads: 4, expandK: 1, expandV: 1);
        var (D, H, keyHeads, K, V) = heads;
        query = weights.Linear("q_proj", D, H * K);
        key = weights.Linear("k_proj", D, keyHeads * K);
        value = weights.Linear("v_proj", D, keyHeads * V);
        string map = config.String("feature_map", "elementwise_product");
        if (config.Bool("tie_feature_map_qk", false))
        {
            // A file may hold both copies of the one map, or either.
            string[] sides = ["feature_map_q", "feature_map_k"], parts = ["layer", "layer1", "layer2"];
            string[] kept = [.. sides.OrderByDescending(side => parts.Any(part => weights.Has($"{side}.{part}.weight")))];
            queryMap = new(weights.In(kept[0]), map, K);
            foreach (string part in parts)
                foreach (string name in (string[])["weight", "bias"]) weights.Skip($"{kept[1]}.{part}.{name}");
        }
        else
        {
            queryMap = new(weights.In("feature_map_q"), map, K);
            keyMap = new(weights.In("feature_map_k"), map, K);
        }
        norm = Fla.OutputNorm(config, weights, "norm", V, Fla.Epsilon(config));
        output = weights.Linear("o_proj", H * V, D);
        (queriesSumToOne, keysSumToOne) = (config.Bool("norm_q", false), config.Bool("norm_k", false));
        normalised = config.Bool("norm_feature_map", false);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B)
    {
        var state = new LayerState { ["recurrent"] = zeros(B, heads.H, queryMap.Width, heads.V) };
        if (normalised) state["z"] = zeros(B, 1, heads.H, queryMap.Width);
        return state;
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var q = queryMap.call(query.call(x).unflatten(2, [heads.H, heads.K]));
        var k = (keyMap ?? queryMap).call(heads.Repeat(key.call(x)));
        if (queriesSumToOne) q = SumToOne(q);
        if (keysSumToOne) k = SumToOne(k);
        if (pass.Mask is { } mask) k = k * mask.unsqueeze(-1).unsqueeze(-1);
        double scale = Math.Pow(queryMap.Width, -0.5);
        (var o, pass.State["recurrent"]) = Ops.LinearAttention(q, k, heads.Repeat(value.call(x)), pass.State["recurrent"], scale);
        if (normalised)
        {
            var z = pass.State["z"].Plus(k.cumsum(1));                                             // [B, T, H, F]
            o = o / ((q * z).sum(-1, keepdim: true) * Number(scale)).Plus(1e-10);
            pass.State["z"] = z.narrow(1, x.size(1) - 1, 1).clone();
        }
        return output.call(norm.call(o).flatten(2)).MoveToOuterDisposeScope();
    }

    private static Tensor SumToOne(Tensor x) => x / x.sum(-1, keepdim: true).Plus(1e-4);
}

/// <summary>The published form of linear attention.</summary>
public static class LinearAttention
{
    /// <summary>fla-org's.</summary>
    public static readonly CheckpointFamily Checkpoints = Fla.Family(
        "fla linear attention", "linear_attn",
        (config, weights) => Fla.Build(config, weights, "linear_attn", (_, w) => new LinearAttentionMixer(config, w)), """
        {
          "model_type": "linear_attn", "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 4, "num_kv_heads": 2, "intermediate_size": 40,
          "vocab_size": 96, "feature_map": "hedgehog", "norm_feature_map": true
        }
        """);
}
