using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>A state that is corrected by each token as online regression would, the mixer of Longhorn (arXiv 2407.14207).</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is conv [B, I, taps - 1] and S [B, I, N]. Of the sizes, R is the rank of the step.</remarks>
public sealed class LonghornMixer : SequenceMixer
{
    private readonly MambaConfig config;
    private readonly Linear input;
    private readonly ShortConvolution conv;
    private readonly Linear inner;
    private readonly Linear step;
    private readonly Parameter skip;
    private readonly Linear output;

    /// <summary>Takes in_proj, conv1d, x_proj, dt_head, D and out_proj from the source.</summary>
    public LonghornMixer(MambaConfig config, WeightSource weights)
    {
        this.config = config;
        var (D, I, N, R) = config;
        input = weights.Linear("in_proj", D, 2 * I);
        weights.Skip("in_proj.bias");   // stored where the config asks for one, but the authors' code never adds it
        conv = new(weights.In("conv1d"), I, config.Taps, config.ConvBias, "silu");
        inner = weights.Linear("x_proj", I, R + 2 * N);
        step = weights.Linear("dt_head", R, I, bias: true, Init.Uniform(Math.Pow(R, -0.5)));
        skip = weights.Vector("D", I, Init.Ones);
        output = weights.Linear("out_proj", I, D, config.Bias);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B) => new() { ["conv"] = conv.NewState(B), ["S"] = zeros(B, config.I, config.N) };

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, Tensor> AsPublished(LayerState state, long position) => new Dictionary<string, Tensor>
    {
        ["conv"] = state["conv"].alias(),
        ["recurrent"] = state["S"].alias(),
    };

    /// <inheritdoc/>
    public override Tensor forward(Tensor u, Pass pass)
    {
        using var scope = NewDisposeScope();
        var mask = pass.Mask?.unsqueeze(-1);
        var halves = input.call(u).chunk(2, -1);
        var (x, z) = (halves[0], halves[1]);
        if (mask is not null) x = x * mask;
        (x, pass.State["conv"]) = conv.Read(x, pass.State["conv"]);
        if (mask is not null) x = x * mask;   // the filter's bias would otherwise enter the state

        var parts = inner.call(x).split([config.R, config.N, config.N], -1);
        var beta = step.call(parts[0]).sigmoid();
        (var y, pass.State["S"]) = Ops.Longhorn(x, beta, parts[1], parts[2], skip, pass.State["S"]);
        return output.call(Ops.SwiGlu(y, z)).MoveToOuterDisposeScope();
    }
}

/// <summary>The published form of Longhorn.</summary>
public static class Longhorn
{
    /// <summary>The format of its authors: that of state-spaces Mamba with other tensors in the mixer.</summary>
    public static readonly CheckpointFamily Published = new(
        "Longhorn",
        (config, tensors) => config.Has("d_model") && config.Has("n_layer") && !config.Has("model_type") && (HasTensors(tensors) || Mamba.Layer(config) == "Longhorn"),
        Build, Mamba.StateSpacesNames)
    {
        Clean = Mamba.Clean,
        Example = """{ "d_model": 24, "n_layer": 2, "vocab_size": 91, "ssm_cfg": { "layer": "Longhorn", "d_state": 8 }, "tie_embeddings": false }""",
    };

    /// <summary>Whether the tensors are Longhorn's: its config may say no more than Mamba's.</summary>
    internal static bool HasTensors(IEnumerable<string> names) => names.Any(name => name.Contains(".mixer.dt_head.", StringComparison.Ordinal));

    // Attention layers and MLPs have keys in the config, but the authors' code makes none.
    private static LanguageModel Build(ConfigJson config, WeightSource weights)
    {
        long D = config.Size("d_model"), multiple = config.Size("pad_vocab_size_multiple", 8), vocabulary = config.Size("vocab_size", 50277);
        var mixer = Mamba.FromStateSpaces(config.Object("ssm_cfg"), D);
        nn.Module<Tensor, Tensor> Norm(WeightSource w, string name) =>
            config.Bool("rms_norm", true) ? w.RmsNorm(name, D, 1e-5) : w.LayerNorm(name, D, 1e-5);

        var blocks = Transformer.Blocks(config.Size("n_layer"), weights, w => new ResidualBlock(Norm(w, "norm"), new LonghornMixer(mixer, w.In("mixer"))));
        var frame = new LanguageModelConfig(D, (vocabulary + multiple - 1) / multiple * multiple)
        {
            Architecture = "longhorn",
            Tied = config.Bool("tie_embeddings", true),
        };
        return new(frame, weights, blocks, Norm(weights, "norm"));
    }
}
