using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Attention and Mamba-2 side by side, the mixer of Falcon-H1 (arXiv 2507.22448): both read the same input and are added.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is that of both.</remarks>
public sealed class ParallelMixer(SequenceMixer attention, SequenceMixer mamba, ParallelMixer.Factors factors) : SequenceMixer
{
    private readonly SequenceMixer attention = attention;
    private readonly SequenceMixer mamba = mamba;

    /// <summary>Factors of what goes into and comes out of each.</summary>
    public sealed record Factors(double AttentionIn, double AttentionOut, double MambaIn, double MambaOut);

    /// <inheritdoc/>
    public override long StateBytesPerToken => attention.StateBytesPerToken + mamba.StateBytesPerToken;

    /// <inheritdoc/>
    public override string Kind => $"{attention.Kind} + {mamba.Kind}";

    /// <inheritdoc/>
    public override LayerState NewState(long B)
    {
        var (state, other) = (attention.NewState(B), mamba.NewState(B));
        foreach (string name in other.Names) state[name] = other[name];
        return state;
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, Tensor> AsPublished(LayerState state, long position) => mamba.AsPublished(state, position)
        .Append(new("key", state["key"].alias())).Append(new("value", state["value"].alias())).ToDictionary();

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var read = mamba.call(x * Number(factors.MambaIn), pass) * Number(factors.MambaOut);
        return read.Plus(attention.call(x * Number(factors.AttentionIn), pass) * Number(factors.AttentionOut)).MoveToOuterDisposeScope();
    }
}

/// <summary>A gated MLP with a factor before the nonlinearity and one at the end.</summary>
public sealed class ScaledMlp : nn.Module<Tensor, Tensor>
{
    private readonly Linear gate;
    private readonly Linear up;
    private readonly Linear down;
    private readonly Func<Tensor, Tensor, Tensor> gated;
    private readonly double gateFactor;
    private readonly double downFactor;

    /// <summary>Takes gate_proj, up_proj and down_proj from the source.</summary>
    public ScaledMlp(WeightSource weights, long D, long width, string activation, bool bias, double gateFactor, double downFactor) : base(nameof(ScaledMlp))
    {
        gate = weights.Linear("gate_proj", D, width, bias);
        up = weights.Linear("up_proj", D, width, bias);
        down = weights.Linear("down_proj", width, D, bias);
        (gated, this.gateFactor, this.downFactor) = (Activation.Gate(activation), gateFactor, downFactor);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        return (down.call(gated(up.call(x), gate.call(x) * Number(gateFactor))) * Number(downFactor)).MoveToOuterDisposeScope();
    }
}

/// <summary>Falcon-H1 (arXiv 2507.22448).</summary>
public static class FalconH1
{
    /// <summary>transformers Falcon-H1.</summary>
    public static readonly CheckpointFamily Transformers = new(
        "transformers Falcon-H1", (config, _) => config.String("model_type", "") == "falcon_h1", Build, Hybrid.Names)
    {
        Example = """
            {
              "model_type": "falcon_h1", "hidden_size": 24, "num_hidden_layers": 2, "vocab_size": 96, "intermediate_size": 32, "num_attention_heads": 4,
              "num_key_value_heads": 2, "head_dim": 8, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_n_groups": 2, "mamba_d_state": 8, "mamba_proj_bias": true,
              "mamba_rms_norm": true, "projectors_bias": true, "ssm_multipliers": [0.7, 0.9, 0.8, 1.1, 0.6], "mlp_multipliers": [0.9, 0.7],
              "key_multiplier": 0.5, "embedding_multiplier": 2.5, "lm_head_multiplier": 0.6, "ssm_in_multiplier": 1.25, "attention_out_multiplier": 0.8
            }
            """,
    };

    private static LanguageModel Build(ConfigJson config, WeightSource weights)
    {
        long D = config.Size("hidden_size", 4096), width = config.Size("intermediate_size", 14336), E = Hybrid.HeadWidth(config, D);
        double epsilon = config.Double("rms_norm_eps", 1e-5);
        var rotary = new Rotary(E, config.Double("rope_theta", 1e5), config.Object("rope_scaling"), config.Double("max_position_embeddings", 8192));
        long I = config.Size("mamba_d_ssm", config.IsNull("mamba_d_ssm") ? (long)(config.Double("mamba_expand", 2) * D) : 1024);
        var sizes = Hybrid.Mamba2(config, D, I);
        var normal = Init.Normal(config.Double("initializer_range", 0.02));
        sizes = sizes with
        {
            OutputBias = config.Bool("projectors_bias", false),
            NormGroups = config.Bool("mamba_rms_norm", false) ? sizes.G : 0,
            NormBeforeGate = config.Bool("mamba_norm_before_gate", true),
            Factors = Multipliers(config, "ssm_multipliers", 5),
            FirstLogA = normal,
            FirstStepBias = normal,
        };
        var factors = new ParallelMixer.Factors(
            config.Double("attention_in_multiplier", 1), config.Double("attention_out_multiplier", 1),
            config.Double("ssm_in_multiplier", 1), config.Double("ssm_out_multiplier", 1));
        var mlp = Multipliers(config, "mlp_multipliers", 2);
        var blocks = Transformer.Blocks(config.Size("num_hidden_layers", 32), weights, w => new ResidualBlock(
            w.RmsNorm("norm", D, epsilon),
            new ParallelMixer(
                Hybrid.Attention(config, D, rotary, w.In("attention"), config.Double("key_multiplier", 1)), new Mamba2Mixer(sizes, w.In("mamba")), factors),
            w.RmsNorm("norm2", D, epsilon),
            new ScaledMlp(w.In("mlp"), D, width, config.String("hidden_act", "silu"), config.Bool("mlp_bias", false), mlp[0], mlp[1])));
        var frame = new LanguageModelConfig(D, config.Size("vocab_size", 128000))
        {
            Architecture = "falcon-h1",
            Tied = config.Bool("tie_word_embeddings", false),
            EmbeddingScale = config.Double("embedding_multiplier", 1),
            LogitScale = config.Double("lm_head_multiplier", 1),
        };
        return new(frame, weights, blocks, weights.RmsNorm("norm", D, epsilon));
    }

    private static IReadOnlyList<double> Multipliers(ConfigJson config, string key, int count)
    {
        var factors = config.Doubles(key) ?? [.. Enumerable.Repeat(1.0, count)];
        return factors.Count == count ? factors
            : throw new InvalidDataException($"{config.Where(key)} holds {factors.Count} numbers; {count} are needed.");
    }
}
