using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>
/// The forget gates of HGRN and HGRN2: what a layer keeps at least is learned, and grows from layer to layer, so that the upper
/// ones remember longer.
/// </summary>
internal sealed class ForgetGate : nn.Module<Tensor, Tensor>
{
    private readonly Parameter? bounds;
    private readonly int layer;

    /// <summary>The gates of one layer.</summary>
    /// <param name="bounds">[layers, channels], shared by all layers; null for no lower bound.</param>
    /// <param name="layer">The layer's index; the first has no bound.</param>
    public ForgetGate(Parameter? bounds, int layer) : base(nameof(ForgetGate))
    {
        this.layer = layer;
        if (layer > 0) this.bounds = bounds;
        RegisterComponents();
    }

    /// <summary>Reads lower_bounds where the config has them.</summary>
    public static Parameter? Bounds(ConfigJson config, WeightSource weights, long layers)
    {
        long count = config.Size("num_hidden_layers", layers);
        if (config.Bool("use_lower_bound", true) && count > 1) return weights.Tensor("lowerBounds", [count, Fla.Width(config)], Init.Zeros);
        weights.Skip("lowerBounds");
        return null;
    }

    /// <summary>log a of what is kept, from the gate's logits [B, T, channels].</summary>
    public override Tensor forward(Tensor f)
    {
        using var scope = NewDisposeScope();
        var g = nn.functional.logsigmoid(f);
        if (bounds is null) return g.MoveToOuterDisposeScope();
        var least = bounds.softmax(0).narrow(0, 1, layer).sum([0]);   // a bare 0 would be taken for a type
        return logaddexp(least.log(), (-least).log1p().Plus(g)).MoveToOuterDisposeScope();
    }
}

/// <summary>The hierarchically gated recurrence (HGRN, arXiv 2311.04823): channels that keep a and take in 1 - a.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is recurrent [B, E], and conv_i, conv_f where there are filters.</remarks>
public sealed class HgrnMixer : SequenceMixer
{
    private readonly long E;
    private readonly FilteredProjection input;
    private readonly FilteredProjection forget;
    private readonly ForgetGate keep;
    private readonly Linear gate;
    private readonly RmsNorm norm;
    private readonly Linear output;

    /// <summary>Takes its parameters by the authors' names.</summary>
    public HgrnMixer(ConfigJson config, WeightSource weights, Parameter? bounds, int layer)
    {
        long D = Fla.Width(config), taps = Fla.Taps(config, otherwise: false);
        E = Fla.Expanded(config, "expand_ratio", 1);
        if (bounds is not null && E != D)
            throw new InvalidDataException($"{config.Where("expand_ratio")} makes {E} channels; lower bounds exist for the {D} of hidden_size, so 1 is needed.");
        input = new(weights, "i", D, E, taps);
        forget = new(weights, "f", D, E, taps);
        keep = new(bounds, layer);
        gate = weights.Linear("g_proj", D, E);
        norm = Fla.OutputNorm(config, weights, "g_norm", E, Fla.Epsilon(config));
        output = weights.Linear("o_proj", E, D);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B)
    {
        var state = new LayerState { ["recurrent"] = zeros(B, E) };
        input.AddTo(state, B);
        forget.AddTo(state, B);
        return state;
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var g = keep.call(forget.call(x, pass));
        var taken = nn.functional.silu(input.call(x, pass)) * -g.expm1();
        if (pass.Mask is { } mask) taken = taken * mask.unsqueeze(-1);
        (var h, pass.State["recurrent"]) = Ops.Scan(g.exp(), taken, pass.State["recurrent"]);
        return output.call(Ops.SwiGlu(norm.call(h), gate.call(x))).MoveToOuterDisposeScope();
    }
}

/// <summary>The published form of HGRN.</summary>
public static class Hgrn
{
    /// <summary>fla-org's.</summary>
    public static readonly CheckpointFamily Checkpoints = Fla.Family("fla HGRN", "hgrn", Build, """
        { "model_type": "hgrn", "hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 40, "vocab_size": 96, "use_short_conv": true }
        """);

    private static LanguageModel Build(ConfigJson config, WeightSource weights)
    {
        var bounds = ForgetGate.Bounds(config, weights, layers: 24);
        return Fla.Build(config, weights, "hgrn", (layer, w) => new HgrnMixer(config, w, bounds, layer));
    }
}
