using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>The gated delta rule (Gated DeltaNet, arXiv 2412.06464): the state of each head fades as far as the token says before it is corrected.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is recurrent [B, ValueHeads, K, V], and conv_q, conv_k, conv_v where there are filters.</remarks>
public sealed class GatedDeltaNetMixer : SequenceMixer
{
    private readonly DeltaHeads heads;
    private readonly FilteredProjection query;
    private readonly FilteredProjection key;
    private readonly FilteredProjection value;
    private readonly HeadDecay decay;
    private readonly Linear beta;
    private readonly Linear? gate;
    private readonly RmsNorm norm;
    private readonly Linear output;
    private readonly double largest;

    /// <summary>Takes its parameters by the authors' names.</summary>
    public GatedDeltaNetMixer(ConfigJson config, WeightSource weights)
    {
        heads = DeltaHeads.From(config, heads: 6, headDim: 256, expandV: 2);
        var (D, H, valueHeads, K, V) = heads;
        long taps = Fla.Taps(config, otherwise: true);
        query = new(weights, "q", D, H * K, taps);
        key = new(weights, "k", D, H * K, taps);
        value = new(weights, "v", D, valueHeads * V, taps);
        decay = new(weights, D, valueHeads);
        beta = weights.Linear("b_proj", D, valueHeads);
        if (config.Bool("use_gate", true)) gate = weights.Linear("g_proj", D, valueHeads * V);
        norm = weights.RmsNorm("o_norm", V, Fla.Epsilon(config));
        output = weights.Linear("o_proj", valueHeads * V, D);
        weights.Skip("D");   // files of before March 2025 hold it, and nothing reads it
        largest = config.Bool("allow_neg_eigval", false) ? 2 : 1;
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
        (var o, pass.State["recurrent"]) = Ops.DeltaRule(q, k, v, b, decay.call(x), pass.State["recurrent"], Math.Pow(heads.K, -0.5));
        o = norm.call(o).flatten(2);
        if (gate is not null) o = Ops.SwiGlu(o, gate.call(x));
        return output.call(o).MoveToOuterDisposeScope();
    }
}

/// <summary>How far each head's state fades, set by the token as in Mamba-2: the logarithm -exp(A_log) softplus(a x + dt_bias).</summary>
/// <remarks>[B, T, D] -> [B, T, H].</remarks>
public sealed class HeadDecay : nn.Module<Tensor, Tensor>
{
    private readonly Linear step;
    private readonly Parameter logA;
    private readonly Parameter bias;

    /// <summary>Takes a_proj, A_log and dt_bias from the source.</summary>
    public HeadDecay(WeightSource weights, long D, long H) : base(nameof(HeadDecay))
    {
        step = weights.Linear("a_proj", D, H);
        logA = weights.Vector("A_log", H, Init.Drawn(H, even => (even * Number(16)).clamp_min(Number(1e-3)).log()));
        bias = weights.Vector("dt_bias", H, MambaMixer.FirstSteps(H, (0.001, 0.1, 1e-4)));
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        return (-logA.exp() * step.call(x).Plus(bias).Softplus()).MoveToOuterDisposeScope();
    }
}

/// <summary>The published form of Gated DeltaNet.</summary>
public static class GatedDeltaNet
{
    /// <summary>fla-org's.</summary>
    public static readonly CheckpointFamily Checkpoints = Fla.Family(
        "fla Gated DeltaNet", "gated_deltanet",
        (config, weights) => Fla.Build(config, weights, "gated_deltanet", (_, w) => new GatedDeltaNetMixer(config, w), layers: 21), """
        {
          "model_type": "gated_deltanet", "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 2, "num_v_heads": 4, "head_dim": 8, "expand_v": 1.5,
          "intermediate_size": 40, "vocab_size": 96, "allow_neg_eigval": true
        }
        """);
}
