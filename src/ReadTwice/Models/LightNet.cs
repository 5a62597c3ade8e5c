using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>LightNet (arXiv 2405.21022): each key channel is a running softmax over time, so the state is a weighted mean.</summary>
/// <remarks>
/// [B, T, D] -> [B, T, D]. The state is recurrent [B, H, F, D / H], z [B, 1, H, F], the logarithm of the weights' sum so far, and conv_q,
/// conv_k, conv_v where there are filters.
/// </remarks>
public sealed class LightNetMixer : SequenceMixer
{
    private const double NormEpsilon = 1e-6;   // the authors' code ignores the config's
    private const double Nothing = -1e30;      // log 0 in numbers that can be subtracted

    private readonly long H;
    private readonly long F;
    private readonly long V;
    private readonly FilteredProjection query;
    private readonly FilteredProjection key;
    private readonly FilteredProjection value;
    private readonly Linear gateDown;
    private readonly Linear gateUp;
    private readonly RmsNorm norm;
    private readonly Linear output;

    /// <summary>Takes its parameters by the authors' names.</summary>
    public LightNetMixer(ConfigJson config, WeightSource weights)
    {
        long D = Fla.Width(config), taps = Fla.Taps(config, otherwise: false), rank = config.Size("gate_low_rank_dim", 128);
        (H, F) = Fla.HeadsOfRatio(config, ratioWins: false);
        V = Fla.Part(D, "hidden_size", H, "the number of heads");
        query = new(weights, "q", D, H * F, taps);
        key = new(weights, "k", D, H * F, taps);
        value = new(weights, "v", D, D, taps);
        gateDown = weights.Linear("g_proj.0", D, rank);
        gateUp = weights.Linear("g_proj.1", rank, D);
        norm = Fla.OutputNorm(config, weights, "g_norm", D, NormEpsilon);
        output = weights.Linear("o_proj", D, D);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B)
    {
        var state = new LayerState { ["recurrent"] = zeros(B, H, F, V), ["z"] = full([B, 1, H, F], Number(Nothing)) };
        foreach (var projection in (FilteredProjection[])[query, key, value]) projection.AddTo(state, B);
        return state;
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var (q, k, v) = (nn.functional.silu(query.call(x, pass)), Heads(key.call(x, pass), F), value.call(x, pass));
        if (pass.Mask?.unsqueeze(-1) is { } mask)
        {
            k = k.masked_fill(mask.unsqueeze(-1).eq(Number(0)), Number(Nothing));
            v = v * mask;
        }
        long T = x.size(1);
        var z = logcumsumexp(cat([pass.State["z"], k], 1), 1);                                 // [B, 1 + T, H, F]
        var (before, after) = (z.narrow(1, 0, T), z.narrow(1, 1, T));
        var g = (before - after).masked_fill(before.lt(Number(Nothing / 2)), Number(0));
        pass.State["z"] = z.narrow(1, T, 1).clone();
        (var o, pass.State["recurrent"]) = Ops.LinearAttention(
            Heads(q, F), (k - after).exp(), Heads(v, V), pass.State["recurrent"], Math.Pow(F, -0.5), g);
        var gated = Ops.SwiGlu(norm.call(o.flatten(2)), gateUp.call(gateDown.call(x)));
        return output.call(gated).MoveToOuterDisposeScope();
    }

    private Tensor Heads(Tensor x, long width) => x.unflatten(2, [H, width]);
}

/// <summary>The published form of LightNet.</summary>
public static class LightNet
{
    /// <summary>fla-org's.</summary>
    public static readonly CheckpointFamily Checkpoints = Fla.Family(
        "fla LightNet", "lightnet",
        (config, weights) => Fla.Build(config, weights, "lightnet", (_, w) => new LightNetMixer(config, w), readsRopeTheta: false), """
        {
          "model_type": "lightnet", "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 2, "expand_ratio": 8, "gate_low_rank_dim": 8,
          "intermediate_size": 40, "vocab_size": 96, "use_short_conv": true
        }
        """);
}
