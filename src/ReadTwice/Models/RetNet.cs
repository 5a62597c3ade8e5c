using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Multi-scale retention (RetNet, arXiv 2307.08621): linear attention with rotary positions and one fixed decay a head.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is recurrent [B, H, K, V].</remarks>
public sealed class RetNetMixer : SequenceMixer
{
    private readonly FlaHeads heads;
    private readonly Linear query;
    private readonly Linear key;
    private readonly Linear value;
    private readonly Linear? gate;
    private readonly RmsNorm norm;
    private readonly Linear output;
    private readonly Rotary rotary;
    private readonly Func<Tensor, Tensor>? featureMap;
    private readonly Func<Tensor, Tensor, Tensor> gated;

    /// <summary>Takes its parameters by the authors' names.</summary>
    public RetNetMixer(ConfigJson config, WeightSource weights)
    {
        heads = FlaHeads.From(config, heads: 8, expandK: 1, expandV: 2);
        var (D, H, keyHeads, K, V) = heads;
        query = weights.Linear("q_proj", D, H * K);
        key = weights.Linear("k_proj", D, keyHeads * K);
        value = weights.Linear("v_proj", D, keyHeads * V);
        if (config.Bool("use_output_gate", true)) gate = weights.Linear("g_proj", D, H * V);
        norm = Fla.GatedNorm(config, weights, V);
        output = weights.Linear("o_proj", H * V, D);
        rotary = new(K);
        if (config.Has("feature_map")) featureMap = Activation.Named(config.String("feature_map"));
        gated = Activation.Gate(config.String("hidden_act", "swish"));
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B) => new() { ["recurrent"] = zeros(B, heads.H, heads.K, heads.V) };

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var (q, k) = (query.call(x), key.call(x));
        if (featureMap is not null) (q, k) = (featureMap(q), featureMap(k));
        if (pass.Mask is { } mask) k = k * mask.unsqueeze(-1);
        // Only differences of positions matter, so padding may be counted.
        var turns = rotary.Turns(pass.Position, x.size(1), heads.K)!;
        (q, k) = (Turn(q, heads.H, turns), Turn(k, heads.KeyHeads, turns));
        var decay = RetNet.LogDecay(heads.H).to(x.device).view(1, 1, -1, 1).expand(x.size(0), x.size(1), -1, -1);
        (var o, pass.State["recurrent"]) = Ops.LinearAttention(
            q, heads.Repeat(k.flatten(2)), heads.Repeat(value.call(x)), pass.State["recurrent"], Math.Pow(heads.K, -0.5), decay);
        o = norm.call(o).flatten(2);
        if (gate is not null) o = gated(o, gate.call(x));
        return output.call(o).MoveToOuterDisposeScope();
    }

    // [B, T, n · K] -> [B, T, n, K]
    private Tensor Turn(Tensor x, long n, Turns turns) => turns.Apply(x.unflatten(2, [n, heads.K]).transpose(1, 2)).transpose(1, 2);
}

/// <summary>The published form of RetNet.</summary>
public static class RetNet
{
    /// <summary>fla-org's.</summary>
    public static readonly CheckpointFamily Checkpoints = Fla.Family(
        "fla RetNet", "retnet", (config, weights) => Fla.Build(config, weights, "retnet", (_, w) => new RetNetMixer(config, w), ratio: 2), """
        {
          "model_type": "retnet", "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 4, "num_kv_heads": 2, "intermediate_size": 40, "vocab_size": 96,
          "feature_map": "silu"
        }
        """);

    /// <summary>log(1 - 2^(-5 - h)) for each head h, [H].</summary>
    internal static Tensor LogDecay(long H) => tensor([.. Enumerable.Range(0, (int)H).Select(h => (float)Math.Log(1 - Math.Pow(2, -5 - h)))]);
}
