using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>The delta rule (DeltaNet, arXiv 2406.06484): a token replaces what the state answers to its key by its value.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is recurrent [B, H, K, V], and conv_q, conv_k, conv_v where there are filters.</remarks>
public sealed class DeltaNetMixer : SequenceMixer
{
    private readonly long H;
    private readonly long K;
    private readonly long V;
    private readonly FilteredProjection query;
    private readonly FilteredProjection key;
    private readonly FilteredProjection value;
    private readonly Linear? beta;
    private readonly Linear? gate;
    private readonly RmsNorm norm;
    private readonly Linear output;
    private readonly Func<Tensor, Tensor> activation;
    private readonly Func<Tensor, Tensor> valueActivation;
    private readonly Func<Tensor, Tensor> normalize;
    private readonly double largest;

    /// <summary>Takes its parameters by the authors' names.</summary>
    public DeltaNetMixer(ConfigJson config, WeightSource weights)
    {
        long D = Fla.Width(config), taps = Fla.Taps(config, otherwise: true);
        H = config.Size("num_heads", 16);
        K = Fla.Part(Fla.Expanded(config, "expand_k", 1), "hidden_size · expand_k", H, "num_heads");
        V = Fla.Part(Fla.Expanded(config, "expand_v", 1), "hidden_size · expand_v", H, "num_heads");
        activation = Named(config.String("qk_activation", "silu"));
        valueActivation = Named("silu");
        query = new(weights, "q", D, H * K, taps);
        key = new(weights, "k", D, H * K, taps);
        value = new(weights, "v", D, H * V, taps);
        if (config.Bool("use_beta", true)) beta = weights.Linear("b_proj", D, H);
        if (config.Bool("use_gate", false)) gate = weights.Linear("g_proj", D, H * V);
        norm = weights.RmsNorm("o_norm", V, Fla.Epsilon(config));
        output = weights.Linear("o_proj", H * V, D);
        normalize = config.String("qk_norm", "l2") switch
        {
            "l2" => DeltaHeads.Unit,
            "sum" => ToSumOne,
            var other => throw new InvalidDataException($"{config.Where("qk_norm")} is \"{other}\"; known here: l2, sum."),
        };
        largest = config.Bool("allow_neg_eigval", false) ? 2 : 1;
        RegisterComponents();

        static Func<Tensor, Tensor> Named(string name) => name switch
        {
            "silu" or "relu" => Activation.Named(name),
            "elu" => x => x.EluPlusOne(),
            "identity" => x => x,
            _ => throw new InvalidDataException($"config.json: qk_activation is \"{name}\"; known here: silu, relu, elu, identity."),
        };
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B)
    {
        var state = new LayerState { ["recurrent"] = zeros(B, H, K, V) };
        foreach (var projection in (FilteredProjection[])[query, key, value]) projection.AddTo(state, B);
        return state;
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var q = normalize(activation(query.call(x, pass)).unflatten(2, [H, K]));
        var k = normalize(activation(key.call(x, pass)).unflatten(2, [H, K]));
        var v = valueActivation(value.call(x, pass)).unflatten(2, [H, V]);
        if (pass.Mask is { } mask) k = k * mask.unsqueeze(-1).unsqueeze(-1);
        var b = beta is null ? ones(x.size(0), x.size(1), H, device: x.device) * Number(largest) : beta.call(x).sigmoid() * Number(largest);
        (var o, pass.State["recurrent"]) = Ops.DeltaRule(q, k, v, b, null, pass.State["recurrent"], Math.Pow(K, -0.5));
        o = norm.call(o).flatten(2);
        if (gate is not null) o = Ops.SwiGlu(o, gate.call(x));
        return output.call(o).MoveToOuterDisposeScope();
    }

    // Where all entries are zero, as in padding, they stay so.
    private static Tensor ToSumOne(Tensor x)
    {
        using var scope = NewDisposeScope();
        var sum = x.sum(-1, keepdim: true);
        return (x / sum.masked_fill(sum.eq(Number(0)), Number(1))).MoveToOuterDisposeScope();
    }
}

/// <summary>The published form of DeltaNet.</summary>
public static class DeltaNet
{
    /// <summary>fla-org's.</summary>
    public static readonly CheckpointFamily Checkpoints = Fla.Family(
        "fla DeltaNet", "delta_net", (config, weights) => Fla.Build(config, weights, "delta_net", (_, w) => new DeltaNetMixer(config, w)), """
        {
          "model_type": "delta_net", "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 2, "expand_k": 0.5, "intermediate_size": 40, "vocab_size": 96,
          "use_gate": true
        }
        """);
}
