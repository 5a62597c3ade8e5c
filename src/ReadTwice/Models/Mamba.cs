using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Sizes of a Mamba layer.</summary>
/// <param name="D">Model width.</param>
/// <param name="I">Inner channels.</param>
/// <param name="N">State of each channel.</param>
/// <param name="R">Rank of the time step's projection.</param>
public sealed record MambaConfig(long D, long I, long N, long R)
{
    /// <summary>Taps of the filter.</summary>
    public long Taps { get; init; } = 4;

    /// <summary>Whether the filter has a bias.</summary>
    public bool ConvBias { get; init; } = true;

    /// <summary>Whether the projections in and out have a bias.</summary>
    public bool Bias { get; init; }

    /// <summary>What follows the filter and shapes the gate.</summary>
    public string Activation { get; init; } = "silu";

    /// <summary>ε of a norm over each of the three parts of the inner projection; 0 for none.</summary>
    public double NormEpsilon { get; init; }

    /// <summary>Whether those norms have weights (Jamba) or not (Falcon Mamba).</summary>
    public bool NormWeights { get; init; }

    /// <summary>Bounds of the first time steps in training.</summary>
    public (double Min, double Max, double Floor) FirstSteps { get; init; } = (0.001, 0.1, 1e-4);
}

/// <summary>A selective state space, the mixer of Mamba (arXiv 2312.00752): how far the state fades, and what enters it, is set by each token.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is conv [B, I, taps - 1] and ssm [B, I, N].</remarks>
public sealed class MambaMixer : SequenceMixer
{
    private readonly MambaConfig config;
    private readonly Linear input;
    private readonly ShortConvolution conv;
    private readonly Linear inner;
    private readonly Linear step;
    private readonly Parameter logA;
    private readonly Parameter skip;
    private readonly Linear output;
    private readonly RmsNorm? stepNorm;
    private readonly RmsNorm? inNorm;
    private readonly RmsNorm? outNorm;
    private readonly Func<Tensor, Tensor, Tensor> gated;

    /// <summary>Takes in_proj, conv1d, x_proj, dt_proj, A_log, D and out_proj from the source.</summary>
    public MambaMixer(MambaConfig config, WeightSource weights)
    {
        this.config = config;
        var (D, I, N, R) = config;
        input = weights.Linear("in_proj", D, 2 * I, config.Bias);
        conv = new(weights.In("conv1d"), I, config.Taps, config.ConvBias, config.Activation);
        inner = weights.Linear("x_proj", I, R + 2 * N);
        step = new(
            weights.Matrix("dt_proj.weight", I, R, Init.Uniform(Math.Pow(R, -0.5))),
            weights.Vector("dt_proj.bias", I, FirstSteps(I, config.FirstSteps)));
        logA = weights.Tensor("A_log", [I, N], Init.Values(() => Integers(1, N + 1).to(ScalarType.Float32).log().expand(I, N)));
        skip = weights.Vector("D", I, Init.Ones);
        output = weights.Linear("out_proj", I, D, config.Bias);
        if (config.NormEpsilon > 0)
        {
            RmsNorm Norm(string name, long n) => config.NormWeights ? weights.RmsNorm(name, n, config.NormEpsilon) : new(null, config.NormEpsilon);
            (stepNorm, inNorm, outNorm) = (Norm("dt_layernorm", R), Norm("b_layernorm", N), Norm("c_layernorm", N));
        }
        gated = Activation.Gate(config.Activation);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B) => new() { ["conv"] = conv.NewState(B), ["ssm"] = zeros(B, config.I, config.N) };

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
        var (r, Bt, Ct) = (parts[0], parts[1], parts[2]);
        if (stepNorm is not null) (r, Bt, Ct) = (stepNorm.call(r), inNorm!.call(Bt), outNorm!.call(Ct));
        var delta = step.call(r).Softplus();
        (var y, pass.State["ssm"]) = Ops.SelectiveScan(x, delta, -logA.exp(), Bt, Ct, skip, pass.State["ssm"]);
        return output.call(gated(y, z)).MoveToOuterDisposeScope();
    }

    /// <summary>The inverse softplus of time steps spread evenly on a logarithmic scale, [n].</summary>
    internal static Init FirstSteps(long n, (double Min, double Max, double Floor) bounds) => Init.Drawn(n, even =>
    {
        var steps = (even * Number(Math.Log(bounds.Max) - Math.Log(bounds.Min))).Plus(Math.Log(bounds.Min)).exp().clamp_min(Number(bounds.Floor));
        return steps.Plus((-(-steps).expm1()).log());
    });
}

/// <summary>The published forms of Mamba.</summary>
public static class Mamba
{
    /// <summary>The original format of state-spaces, and HazyResearch's, with Mamba and attention layers.</summary>
    public static readonly CheckpointFamily StateSpaces = new(
        "state-spaces Mamba",
        (config, tensors) => config.Has("d_model") && config.Has("n_layer") && !config.Has("model_type") && Layer(config) == "Mamba1" && !Longhorn.HasTensors(tensors),
        (config, weights) => BuildStateSpaces(config, weights, "mamba", (D, w) => new MambaMixer(FromStateSpaces(config.Object("ssm_cfg"), D), w)),
        StateSpacesNames)
    {
        Clean = Clean,
        Example = """{ "d_model": 24, "n_layer": 2, "vocab_size": 91, "ssm_cfg": { "d_state": 8 }, "d_intermediate": 32, "attn_layer_idx": [1], "attn_cfg": { "num_heads": 3, "causal": true, "d_conv": 3, "rotary_emb_dim": 4 } }""",
    };

    /// <summary>The tensor names of the original format.</summary>
    internal static IReadOnlyList<(string Theirs, string Ours)> StateSpacesNames =>
    [
        ("backbone.embedding.weight", "embedding.weight"),
        ("backbone.layers.{i}.norm.", "blocks.{i}.norm."),
        ("backbone.layers.{i}.norm2.", "blocks.{i}.norm2."),
        ("backbone.layers.{i}.mlp.", "blocks.{i}.mlp."),
        ("backbone.layers.{i}.mixer.", "blocks.{i}.mixer."),
        ("backbone.norm_f.", "norm."),
        ("lm_head.weight", "head.weight"),
    ];

    /// <summary>Which mixer the config names: Mamba1 or Mamba2.</summary>
    internal static string Layer(ConfigJson config) => config.Object("ssm_cfg")?.String("layer", "Mamba1") ?? "Mamba1";

    /// <summary>Takes off the training framework's prefix and drops its counters.</summary>
    internal static string? Clean(string name) => CheckpointFamily.Standard(
        name.StartsWith("model.backbone.", StringComparison.Ordinal) || name == "model.lm_head.weight" ? name["model.".Length..] : name);

    /// <summary>The sizes that ssm_cfg gives; it may be absent.</summary>
    internal static MambaConfig FromStateSpaces(ConfigJson? ssm, long D) => new(
        D, (long)((ssm?.Double("expand", 2) ?? 2) * D), ssm?.Size("d_state", 16) ?? 16, Rank(ssm, "dt_rank", D))
    {
        Taps = ssm?.Size("d_conv", 4) ?? 4,
        ConvBias = ssm?.Bool("conv_bias", true) ?? true,
        Bias = ssm?.Bool("bias", false) ?? false,
        FirstSteps = (ssm?.Double("dt_min", 0.001) ?? 0.001, ssm?.Double("dt_max", 0.1) ?? 0.1, ssm?.Double("dt_init_floor", 1e-4) ?? 1e-4),
    };

    /// <summary>The rank of the time step's projection: a number, or "auto" for D / 16 rounded up.</summary>
    internal static long Rank(ConfigJson? config, string key, long D) =>
        config is null || !config.Has(key) || config.IsString(key) ? (D + 15) / 16 : config.Size(key);

    /// <summary>The frame of state-spaces: a mixer a layer, some of them attention, and an MLP after each where one is asked for.</summary>
    internal static LanguageModel BuildStateSpaces(
        ConfigJson config, WeightSource weights, string architecture, Func<long, WeightSource, SequenceMixer> mixer)
    {
        long D = config.Size("d_model"), multiple = config.Size("pad_vocab_size_multiple", 8), vocabulary = config.Size("vocab_size", 50277);
        long width = config.Long("d_intermediate", 0);
        var attention = config.Longs("attn_layer_idx") ?? [];
        nn.Module<Tensor, Tensor> Norm(WeightSource w, string name) =>
            config.Bool("rms_norm", true) ? w.RmsNorm(name, D, 1e-5) : w.LayerNorm(name, D, 1e-5);

        var blocks = new List<SequenceModule>();
        for (int i = 0; i < config.Size("n_layer"); i++)
        {
            var w = weights.In($"blocks.{i}");
            var layer = attention.Contains(i) ? Attend(config.Object("attn_cfg"), D, w.In("mixer")) : mixer(D, w.In("mixer"));
            blocks.Add(width == 0
                ? new ResidualBlock(Norm(w, "norm"), layer)
                : new ResidualBlock(Norm(w, "norm"), layer, Norm(w, "norm2"), new FusedGatedMlp(w.In("mlp"), D, (width + 127) / 128 * 128, "silu")));
        }
        var frame = new LanguageModelConfig(D, (vocabulary + multiple - 1) / multiple * multiple)
        {
            Architecture = architecture,
            Tied = config.Bool("tie_embeddings", true),
        };
        return new(frame, weights, blocks, Norm(weights, "norm"));
    }

    private static SelfAttention Attend(ConfigJson? attention, long D, WeightSource weights)
    {
        long Number(string key, long otherwise) => attention?.Long(key, otherwise) ?? otherwise;
        long H = attention?.Size("num_heads") ?? throw new InvalidDataException("config.json: attn_layer_idx names attention layers; attn_cfg.num_heads is needed.");
        if (!attention.Bool("causal", false))
            throw new InvalidDataException($"{attention.Where("causal")} is false; a language model needs causal attention.");
        if (attention.Bool("rotary_emb_interleaved", false))
            throw new InvalidDataException($"{attention.Where("rotary_emb_interleaved")} is true; only heads that turn by halves are known.");
        long E = attention.Has("head_dim") ? attention.Size("head_dim") : Sizes.Divide(D, "channels (d_model)", H, "heads (attn_cfg.num_heads)");
        var heads = AttentionConfig.Of(H, Number("num_heads_kv", H), E);
        return new(new(D, heads with { Scale = attention.Double("softmax_scale", heads.Scale) }, QkvLayout.Fused)
        {
            Rotary = new(Number("rotary_emb_dim", 0), attention.Double("rotary_emb_base", 10000)),
            QkvBias = attention.Bool("qkv_proj_bias", true),
            OutputBias = attention.Bool("out_proj_bias", true),
            Taps = Number("d_conv", 0),
            MlpWidth = (Number("mlp_dim", 0) + 255) / 256 * 256,
        }, weights.As(("qkv", "in_proj"), ("conv", "conv1d"), ("output", "out_proj")));
    }

    /// <summary>transformers Mamba.</summary>
    public static readonly CheckpointFamily Transformers = new(
        "transformers Mamba", (config, _) => config.String("model_type", "") == "mamba",
        (config, weights) => BuildTransformers(config, weights, "mamba", normEpsilon: 0), TransformersNames)
    {
        Example = """{ "model_type": "mamba", "hidden_size": 24, "num_hidden_layers": 2, "vocab_size": 96, "state_size": 8 }""",
    };

    /// <summary>Falcon Mamba: three norms without weights inside the layer.</summary>
    public static readonly CheckpointFamily Falcon = new(
        "Falcon Mamba", (config, _) => config.String("model_type", "") == "falcon_mamba",
        (config, weights) => BuildTransformers(config, weights, "mamba", config.Double("mixer_rms_eps", 1e-6)), TransformersNames)
    {
        Example = """{ "model_type": "falcon_mamba", "hidden_size": 24, "num_hidden_layers": 2, "vocab_size": 96, "state_size": 8, "tie_word_embeddings": false }""",
    };

    /// <summary>The tensor names of transformers' Mamba and Mamba-2.</summary>
    internal static IReadOnlyList<(string Theirs, string Ours)> TransformersNames =>
        [("backbone.embeddings.weight", "embedding.weight"), .. StateSpacesNames];

    private static LanguageModel BuildTransformers(ConfigJson config, WeightSource weights, string architecture, double normEpsilon)
    {
        long D = config.Size("hidden_size", 768);
        double epsilon = config.Double("layer_norm_epsilon", 1e-5);
        var mamba = new MambaConfig(
            D, config.Size("intermediate_size", (long)(config.Double("expand", 2) * D)), config.Size("state_size", 16), Rank(config, "time_step_rank", D))
        {
            Taps = config.Size("conv_kernel", 4),
            ConvBias = config.Bool("use_conv_bias", true),
            Bias = config.Bool("use_bias", false),
            Activation = config.String("hidden_act", "silu"),
            NormEpsilon = normEpsilon,
            FirstSteps = (config.Double("time_step_min", 0.001), config.Double("time_step_max", 0.1), config.Double("time_step_floor", 1e-4)),
        };
        var blocks = Transformer.Blocks(config.Size("num_hidden_layers", 32), weights, w =>
            new ResidualBlock(w.RmsNorm("norm", D, epsilon), new MambaMixer(mamba, w.In("mixer"))));
        return new(
            new(D, config.Size("vocab_size", 50280)) { Architecture = architecture, Tied = config.Bool("tie_word_embeddings", true) },
            weights, blocks, weights.RmsNorm("norm", D, epsilon));
    }
}
