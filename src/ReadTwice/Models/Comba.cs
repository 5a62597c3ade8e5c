using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Comba (arXiv 2506.02475): a delta rule that asks the state before it fades, and whose queries are corrected by the keys.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is recurrent [B, H, K, V], and conv_q, conv_k, conv_v where there are filters.</remarks>
public sealed class CombaMixer : SequenceMixer
{
    private readonly DeltaHeads heads;
    private readonly FilteredProjection query;
    private readonly FilteredProjection key;
    private readonly FilteredProjection value;
    private readonly HeadDecay decay;
    private readonly Linear beta;
    private readonly Parameter feedback;
    private readonly Parameter correction;
    private readonly Linear? gate;
    private readonly RmsNorm norm;
    private readonly Linear output;

    /// <summary>Takes its parameters by the authors' names.</summary>
    public CombaMixer(ConfigJson config, WeightSource weights)
    {
        heads = DeltaHeads.From(config, heads: 6, headDim: 256, expandV: 2);
        var (D, H, valueHeads, K, V) = heads;
        if (valueHeads != H)
            throw new InvalidDataException($"{config.Where("num_v_heads")} is {valueHeads} and num_heads {H}; Comba needs as many of one as of the other.");
        long taps = Fla.Taps(config, otherwise: true);
        query = new(weights, "q", D, H * K, taps);
        key = new(weights, "k", D, H * K, taps);
        value = new(weights, "v", D, H * V, taps);
        decay = new(weights, D, H);
        beta = weights.Linear("b_proj", D, H);
        feedback = weights.Vector("decay", H, Init.Ones);
        correction = weights.Vector("D", H, Init.Ones);
        if (config.Bool("use_output_gate", true)) gate = weights.Linear("g_proj", D, H * V);
        norm = weights.RmsNorm("o_norm", V, Fla.Epsilon(config));
        output = weights.Linear("o_proj", H * V, D);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B) => heads.NewState(B, query, key, value);

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var q = nn.functional.silu(query.call(x, pass)).unflatten(2, [heads.H, heads.K]);
        var k = nn.functional.silu(key.call(x, pass)).unflatten(2, [heads.H, heads.K]);
        var v = heads.Values(nn.functional.silu(value.call(x, pass)));
        if (pass.Mask is { } mask) k = k * mask.unsqueeze(-1).unsqueeze(-1);
        // The length of p is lost where it asks the state: its factor counts in the query alone.
        var p = feedback.sigmoid().unsqueeze(-1) * k;
        q = q - correction.unsqueeze(-1) * p;
        (var o, pass.State["recurrent"]) = Ops.DeltaRule(
            DeltaHeads.Unit(q), DeltaHeads.Unit(k), v, beta.call(x).sigmoid(), decay.call(x), pass.State["recurrent"], Math.Pow(heads.K, -0.5), DeltaHeads.Unit(p));
        o = norm.call(o).flatten(2);
        if (gate is not null) o = o * gate.call(x).sigmoid();
        return output.call(o).MoveToOuterDisposeScope();
    }
}

/// <summary>The published form of Comba.</summary>
public static class Comba
{
    /// <summary>fla-org's.</summary>
    public static readonly CheckpointFamily Checkpoints = Fla.Family(
        "fla Comba", "comba", (config, weights) => Fla.Build(config, weights, "comba", (_, w) => new CombaMixer(config, w), layers: 21), """
        {
          "model_type": "comba", "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 3, "head_dim": 8, "expand_v": 1.5,
          "intermediate_size": 40, "vocab_size": 96
        }
        """);
}
