using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>HGRN2 (arXiv 2404.07904): gated linear attention where a key is what its channel's forget gate lets go.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is recurrent [B, H, F, D / H], and conv_q, conv_f, conv_i where there are filters.</remarks>
public sealed class Hgrn2Mixer : SequenceMixer
{
    private const double NormEpsilon = 1e-5;   // the authors' code ignores the config's

    private readonly long H;
    private readonly long F;
    private readonly long V;
    private readonly FilteredProjection query;
    private readonly FilteredProjection forget;
    private readonly FilteredProjection input;
    private readonly ForgetGate keep;
    private readonly RmsNorm norm;
    private readonly Linear output;

    /// <summary>Takes its parameters by the authors' names.</summary>
    public Hgrn2Mixer(ConfigJson config, WeightSource weights, Parameter? bounds, int layer)
    {
        long D = Fla.Width(config), taps = Fla.Taps(config, otherwise: false);
        (H, F) = Fla.HeadsOfRatio(config, ratioWins: true);
        V = Fla.Part(D, "hidden_size", H, "the number of heads");
        if (bounds is not null && H * F != D)
            throw new InvalidDataException($"{config.Where("expand_ratio")} makes {H} heads of {F}; lower bounds exist for the {D} channels of hidden_size, which it must divide.");
        query = new(weights, "q", D, H * F, taps);
        forget = new(weights, "f", D, H * F, taps);
        input = new(weights, "i", D, D, taps);
        keep = new(bounds, layer);
        norm = Fla.OutputNorm(config, weights, "g_norm", D, NormEpsilon);
        output = weights.Linear("o_proj", D, D);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B)
    {
        var state = new LayerState { ["recurrent"] = zeros(B, H, F, V) };
        foreach (var projection in (FilteredProjection[])[query, forget, input]) projection.AddTo(state, B);
        return state;
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var g = keep.call(forget.call(x, pass));
        var k = -g.expm1();
        if (pass.Mask is { } mask) k = k * mask.unsqueeze(-1);
        (var o, pass.State["recurrent"]) = Ops.LinearAttention(
            Heads(nn.functional.silu(query.call(x, pass)), F), Heads(k, F), Heads(input.call(x, pass), V), pass.State["recurrent"], Math.Pow(F, -0.5), Heads(g, F));
        return output.call(norm.call(o.flatten(2))).MoveToOuterDisposeScope();
    }

    private Tensor Heads(Tensor x, long width) => x.unflatten(2, [H, width]);
}

/// <summary>The published form of HGRN2.</summary>
public static class Hgrn2
{
    /// <summary>fla-org's.</summary>
    public static readonly CheckpointFamily Checkpoints = Fla.Family("fla HGRN2", "hgrn2", Build, """
        { "model_type": "hgrn2", "hidden_size": 32, "num_hidden_layers": 3, "expand_ratio": 8, "intermediate_size": 40, "vocab_size": 96, "use_short_conv": true }
        """);

    private static LanguageModel Build(ConfigJson config, WeightSource weights)
    {
        var bounds = ForgetGate.Bounds(config, weights, layers: 24);
        return Fla.Build(config, weights, "hgrn2", (layer, w) => new Hgrn2Mixer(config, w, bounds, layer));
    }
}
