using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Sizes of a Mamba-2 layer.</summary>
/// <param name="D">Model width.</param>
/// <param name="H">Heads.</param>
/// <param name="P">Width of a head.</param>
/// <param name="G">Groups of neighbouring heads that share their input and output maps.</param>
/// <param name="N">State of each channel.</param>
public sealed record Mamba2Config(long D, long H, long P, long G, long N)
{
    /// <summary>Inner channels.</summary>
    public long I => H * P;

    /// <summary>Channels that pass the filter: the inner ones and both maps.</summary>
    public long Filtered => I + 2 * G * N;

    /// <summary>Taps of the filter.</summary>
    public long Taps { get; init; } = 4;

    /// <summary>Whether the filter has a bias.</summary>
    public bool ConvBias { get; init; } = true;

    /// <summary>Whether the projection in has a bias.</summary>
    public bool InputBias { get; init; }

    /// <summary>Whether the projection out has a bias.</summary>
    public bool OutputBias { get; init; }

    /// <summary>What follows the filter.</summary>
    public string Activation { get; init; } = "silu";

    /// <summary>How many groups of channels the norm at the end takes apart; 0 for no norm.</summary>
    public long NormGroups { get; init; } = 1;

    /// <summary>ε of that norm.</summary>
    public double NormEpsilon { get; init; } = 1e-5;

    /// <summary>Whether the norm comes before the gate.</summary>
    public bool NormBeforeGate { get; init; }

    /// <summary>The least and the largest time step.</summary>
    public (double Least, double Largest) Steps { get; init; } = (0, double.PositiveInfinity);

    /// <summary>Whether each channel of a head has its own skip.</summary>
    public bool SkipPerChannel { get; init; }

    /// <summary>Width of a gated MLP inside the layer, whose result stands before the heads'; 0 for none.</summary>
    public long MlpWidth { get; init; }

    /// <summary>Rows in front of the projection in that nothing uses.</summary>
    public long UnusedRows { get; init; }

    /// <summary>Factors of the projection's parts: gate, inner channels, both maps, time steps; null for none.</summary>
    public IReadOnlyList<double>? Factors { get; init; }

    /// <summary>Whether the authors' code lets padding's bias into the filter.</summary>
    public bool PaddingLeaksBias { get; init; }

    /// <summary>How log(-A) starts in training, [H].</summary>
    public Init? FirstLogA { get; init; }

    /// <summary>How the bias of the time steps starts in training, [H].</summary>
    public Init? FirstStepBias { get; init; }
}

/// <summary>A state space with one decay a head, the mixer of Mamba-2 (arXiv 2405.21060).</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is conv [B, I + 2 G N, taps - 1] and ssm [B, H, N, P].</remarks>
public sealed class Mamba2Mixer : SequenceMixer
{
    private readonly Mamba2Config config;
    private readonly Linear input;
    private readonly ShortConvolution conv;
    private readonly Parameter stepBias;
    private readonly Parameter logA;
    private readonly Parameter skip;
    private readonly RmsNorm? norm;
    private readonly Linear output;
    private readonly float[]? factors;   // of each row of the projection in

    /// <summary>Takes in_proj, conv1d, dt_bias, A_log, D, norm and out_proj from the source.</summary>
    public Mamba2Mixer(Mamba2Config config, WeightSource weights)
    {
        this.config = config;
        var (D, H, P, G, _) = config;
        Sizes.Divide(H, "heads", G, "groups");
        input = weights.Linear("in_proj", D, config.UnusedRows + 2 * config.MlpWidth + config.I + config.Filtered + H, config.InputBias);
        conv = new(weights.In("conv1d"), config.Filtered, config.Taps, config.ConvBias, config.Activation);
        stepBias = weights.Vector("dt_bias", H, config.FirstStepBias ?? MambaMixer.FirstSteps(H, (0.001, 0.1, 1e-4)));
        logA = weights.Vector("A_log", H, config.FirstLogA ?? Init.Values(() => Integers(1, H + 1).to(ScalarType.Float32).log()));
        skip = weights.Vector("D", config.SkipPerChannel ? config.I : H, Init.Ones);
        if (config.NormGroups > 0) norm = new(weights.Vector("norm.weight", config.I, Init.Ones), config.NormEpsilon, config.NormGroups);
        output = weights.Linear("out_proj", config.MlpWidth + config.I, D, config.OutputBias);
        factors = FactorsOf(config);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B) => new() { ["conv"] = conv.NewState(B), ["ssm"] = zeros(B, config.H, config.N, config.P) };

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, Tensor> AsPublished(LayerState state, long position) => new Dictionary<string, Tensor>
    {
        ["conv"] = state["conv"].alias(),
        ["ssm"] = state["ssm"].transpose(-2, -1),
        ["recurrent"] = state["ssm"].transpose(-2, -1),   // the same under fla's name
    };

    /// <inheritdoc/>
    public override Tensor forward(Tensor u, Pass pass)
    {
        using var scope = NewDisposeScope();
        var (_, H, P, G, N) = config;
        long M = config.MlpWidth;
        var mask = pass.Mask?.unsqueeze(-1);
        if (mask is not null) u = u * mask;
        var projected = input.call(u);
        if (factors is not null) projected = projected * tensor(factors, device: projected.device);
        var parts = projected.split([config.UnusedRows, M, M, config.I, config.Filtered, H], -1);
        var (z, xBC) = (parts[3], parts[4]);
        if ((config.PaddingLeaksBias ? pass.MaskUnlessPublished : pass.Mask) is { } hidden) xBC = xBC * hidden.unsqueeze(-1);
        (xBC, pass.State["conv"]) = conv.Read(xBC, pass.State["conv"]);
        if (mask is not null) xBC = xBC * mask;   // the filter's bias would otherwise enter the state

        var inner = xBC.split([config.I, G * N, G * N], -1);
        var delta = parts[5].Plus(stepBias).Softplus();
        if (config.Steps != (0, double.PositiveInfinity)) delta = delta.clamp(Number(config.Steps.Least), Number(config.Steps.Largest));
        (var y, pass.State["ssm"]) = Ops.StateSpaceDuality(
            inner[0].unflatten(2, [H, P]), delta, -logA.exp(), inner[1].unflatten(2, [G, N]), inner[2].unflatten(2, [G, N]),
            skip.view(H, -1), pass.State["ssm"]);
        y = Gated(y.flatten(2), z);
        if (M > 0) y = cat([Ops.SwiGlu(parts[2], parts[1]), y], -1);
        return output.call(y).MoveToOuterDisposeScope();
    }

    private Tensor Gated(Tensor y, Tensor z)
    {
        if (norm is null) return Ops.SwiGlu(y, z);
        return config.NormBeforeGate ? Ops.SwiGlu(norm.call(y), z) : norm.call(Ops.SwiGlu(y, z));
    }

    private static float[]? FactorsOf(Mamba2Config config)
    {
        if (config.Factors is not { } factors) return null;
        long maps = config.G * config.N;
        double[] each = [1, .. factors];
        long[] widths = [config.UnusedRows + 2 * config.MlpWidth, config.I, config.I, maps, maps, config.H];
        return [.. widths.SelectMany((width, i) => Enumerable.Repeat((float)each[i], (int)width))];
    }
}

/// <summary>The published forms of Mamba-2.</summary>
public static class Mamba2
{
    private static readonly (double, double) anyStep = (0, double.PositiveInfinity);

    /// <summary>The original format of state-spaces, with Mamba-2 and attention layers.</summary>
    public static readonly CheckpointFamily StateSpaces = new(
        "state-spaces Mamba-2", (config, _) => config.Has("d_model") && config.Has("n_layer") && !config.Has("model_type") && Mamba.Layer(config) == "Mamba2",
        (config, weights) => Mamba.BuildStateSpaces(config, weights, "mamba2", (D, w) => new Mamba2Mixer(FromStateSpaces(config.Object("ssm_cfg")!, D), w)),
        Mamba.StateSpacesNames)
    {
        Clean = Mamba.Clean,
        Example = """
            {
              "d_model": 24, "n_layer": 3, "vocab_size": 91, "d_intermediate": 32, "attn_layer_idx": [1], "attn_cfg": { "num_heads": 3, "causal": true, "d_conv": 3 },
              "ssm_cfg": { "layer": "Mamba2", "d_state": 8, "headdim": 8, "ngroups": 2, "d_ssm": 32, "D_has_hdim": true, "dt_limit": [0.01, 2.0] }
            }
            """,
    };

    /// <summary>transformers Mamba-2.</summary>
    public static readonly CheckpointFamily Transformers = new(
        "transformers Mamba-2", (config, _) => config.String("model_type", "") == "mamba2" && !IsFla(config), BuildTransformers, Mamba.TransformersNames)
    {
        Example = """
            {
              "model_type": "mamba2", "hidden_size": 24, "num_hidden_layers": 2, "vocab_size": 96, "state_size": 8, "num_heads": 6, "head_dim": 8, "n_groups": 2,
              "use_bias": true
            }
            """,
    };

    /// <summary>fla Mamba-2, of the same model_type.</summary>
    public static readonly CheckpointFamily Fla = new(
        "fla Mamba-2", (config, _) => config.String("model_type", "") == "mamba2" && IsFla(config), BuildFla, Mamba.TransformersNames)
    {
        Example = """
            {
              "model_type": "mamba2", "hidden_size": 24, "num_hidden_layers": 2, "vocab_size": 96, "state_size": 8, "head_dim": 8, "n_groups": 2,
              "norm_eps": 1e-5, "norm_before_gate": true
            }
            """,
    };

    // The logarithm of numbers spread evenly between two bounds.
    private static Init FirstLogA(ConfigJson config, long H)
    {
        var (least, largest) = Bounds(config, "A_init_range", (1, 16));
        return Init.Drawn(H, even => (even * Number(largest - least)).Plus(least).log());
    }

    private static (double Least, double Largest) Bounds(ConfigJson config, string key, (double, double) otherwise)
    {
        if (config.Doubles(key) is not { } bounds) return otherwise;
        return bounds.Count == 2 && bounds[0] <= bounds[1] ? (bounds[0], bounds[1])
            : throw new InvalidDataException($"{config.Where(key)} is [{string.Join(", ", bounds)}]; two numbers, the least and the largest, are needed.");
    }

    private static Init FirstSteps(ConfigJson config, string least, string largest, string floor, long H) =>
        MambaMixer.FirstSteps(H, (config.Double(least, 0.001), config.Double(largest, 0.1), config.Double(floor, 1e-4)));

    private static Mamba2Config FromStateSpaces(ConfigJson ssm, long D)
    {
        long inner = (long)(ssm.Double("expand", 2) * D), I = ssm.Size("d_ssm", inner), P = ssm.Size("headdim", 64), G = ssm.Size("ngroups", 1);
        if (I > inner) throw new InvalidDataException($"{ssm.Where("d_ssm")} is {I}; at most expand · d_model = {inner} is possible.");
        long H = Sizes.Divide(I, "inner channels (d_ssm)", P, "channels (headdim)");
        return new(D, H, P, G, ssm.Size("d_state", 128))
        {
            Taps = ssm.Size("d_conv", 4),
            ConvBias = ssm.Bool("conv_bias", true),
            InputBias = ssm.Bool("bias", false),
            OutputBias = ssm.Bool("bias", false),
            NormGroups = ssm.Bool("rmsnorm", true) ? G : 0,
            NormBeforeGate = ssm.Bool("norm_before_gate", false),
            Steps = Bounds(ssm, "dt_limit", anyStep),
            SkipPerChannel = ssm.Bool("D_has_hdim", false),
            MlpWidth = inner - I,
            FirstLogA = FirstLogA(ssm, H),
            FirstStepBias = FirstSteps(ssm, "dt_min", "dt_max", "dt_init_floor", H),
        };
    }

    private static LanguageModel BuildTransformers(ConfigJson config, WeightSource weights)
    {
        long D = config.Size("hidden_size", 4096), H = config.Size("num_heads", 128), P = config.Size("head_dim", 64);
        CheckHeads(config, D, H, P);
        double epsilon = config.Double("layer_norm_epsilon", 1e-5);
        var mamba = new Mamba2Config(D, H, P, config.Size("n_groups", 8), config.Size("state_size", 128))
        {
            Taps = config.Size("conv_kernel", 4),
            ConvBias = config.Bool("use_conv_bias", true),
            InputBias = config.Bool("use_bias", false),
            OutputBias = config.Bool("use_bias", false),
            Activation = config.String("hidden_act", "silu"),
            NormEpsilon = epsilon,   // the norm takes all channels together, whatever the groups
            Steps = Bounds(config, "time_step_limit", anyStep),
            PaddingLeaksBias = true,
            FirstStepBias = FirstSteps(config, "time_step_min", "time_step_max", "time_step_floor", H),
        };
        long rows = mamba.I + mamba.Filtered + H;
        mamba = mamba with { UnusedRows = Math.Max(0, weights.SizeOf("blocks.0.mixer.in_proj.weight", 0, rows) - rows) };
        return Build(config, weights, mamba, epsilon, config.Size("num_hidden_layers", 64), config.Size("vocab_size", 32768));
    }

    private static LanguageModel BuildFla(ConfigJson config, WeightSource weights)
    {
        Models.Fla.RefuseDepthAttention(config);
        long D = config.Size("hidden_size", 2048), P = config.Size("head_dim", 64), G = config.Size("n_groups", 1);
        long H = config.Size("num_heads", Sizes.Divide((long)(config.Double("expand", 2) * D), "inner channels", P, "channels (head_dim)"));
        CheckHeads(config, D, H, P);
        double epsilon = config.Double("norm_eps", 1e-5);
        // Files from before the norm had groups call things by the names of transformers.
        bool older = !config.Has("rmsnorm") && !config.Has("dt_limit") && (config.Has("rms_norm") || config.Has("time_step_limit"));
        var mamba = new Mamba2Config(D, H, P, G, config.Size("state_size", 128))
        {
            Taps = config.Size("conv_kernel", 4),
            ConvBias = config.Bool("use_conv_bias", true),
            InputBias = config.Bool("use_bias", false),
            OutputBias = config.Bool("use_bias", false),
            Activation = config.String("hidden_act", "silu"),
            NormGroups = !config.Bool("rmsnorm", config.Bool("rms_norm", true)) ? 0 : older ? 1 : G,
            NormEpsilon = epsilon,
            NormBeforeGate = config.Bool("norm_before_gate", false),
            Steps = Bounds(config, config.Has("dt_limit") ? "dt_limit" : "time_step_limit", anyStep),
            SkipPerChannel = config.Bool("D_has_hdim", false),
            FirstLogA = FirstLogA(config, H),
            FirstStepBias = FirstSteps(config, "dt_min", "dt_max", "dt_init_floor", H),
        };
        return Build(config, weights, mamba, epsilon, config.Size("num_hidden_layers", 48), config.Size("vocab_size", 32000));
    }

    private static LanguageModel Build(ConfigJson config, WeightSource weights, Mamba2Config mamba, double epsilon, long layers, long vocabulary)
    {
        var blocks = Transformer.Blocks(layers, weights, w =>
            new ResidualBlock(w.RmsNorm("norm", mamba.D, epsilon), new Mamba2Mixer(mamba, w.In("mixer"))));
        return new(
            new(mamba.D, vocabulary) { Architecture = "mamba2", Tied = config.Bool("tie_word_embeddings", false) },
            weights, blocks, weights.RmsNorm("norm", mamba.D, epsilon));
    }

    private static bool IsFla(ConfigJson config) => config.Has("norm_eps");

    private static void CheckHeads(ConfigJson config, long D, long H, long P)
    {
        long inner = (long)(config.Double("expand", 2) * D);
        if (H < 1 || P < 1 || H * P != inner)
            throw new InvalidDataException($"{config.Source}: {H} heads of {P} channels make {H * P}; expand · hidden_size = {inner} is needed.");
    }
}
