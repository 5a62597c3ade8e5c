using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Sizes of a gated linear recurrence.</summary>
/// <param name="D">Model width.</param>
/// <param name="I">Channels of the recurrence.</param>
/// <param name="H">Blocks of neighbouring channels whose gates see each other.</param>
/// <param name="Taps">Taps of the filter.</param>
public sealed record GatedRecurrenceConfig(long D, long I, long H, long Taps)
{
    /// <summary>What shapes the gate of the output.</summary>
    public string Activation { get; init; } = "gelu_pytorch_tanh";

    /// <summary>Variance of the gates' weights at the start of training, times the width of a block.</summary>
    public double GateVariance { get; init; } = 0.01;
}

/// <summary>The real-gated linear recurrent unit behind a short filter, the recurrent mixer of Griffin (arXiv 2402.19427).</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is conv [B, I, taps - 1] and h [B, I].</remarks>
public sealed class GatedRecurrence : SequenceMixer
{
    private const double Sharpness = 8;   // the paper's c: how far a fully open gate lets the state fade

    private readonly GatedRecurrenceConfig config;
    private readonly Linear gate;
    private readonly Linear input;
    private readonly ShortConvolution conv;
    private readonly Parameter decay;
    private readonly Parameter inputGate;
    private readonly Parameter inputGateBias;
    private readonly Parameter decayGate;
    private readonly Parameter decayGateBias;
    private readonly Linear output;
    private readonly Func<Tensor, Tensor, Tensor> gated;

    /// <summary>Takes linear_y, linear_x, conv_1d, rg_lru and linear_out from the source.</summary>
    public GatedRecurrence(GatedRecurrenceConfig config, WeightSource weights)
    {
        this.config = config;
        var (D, I, H, taps) = config;
        long block = Sizes.Divide(I, "channels (lru_width)", H, "blocks (num_attention_heads)");
        var normal = Init.Normal(Math.Sqrt(config.GateVariance / block));
        gate = weights.Linear("linear_y", D, I, bias: true);
        input = weights.Linear("linear_x", D, I, bias: true);
        conv = new(weights.In("conv_1d"), I, taps, bias: true);
        decay = weights.Vector("rg_lru.recurrent_param", I, Init.Drawn(I, FirstDecay));
        inputGate = weights.Tensor("rg_lru.input_gate_weight", [H, block, block], normal);
        inputGateBias = weights.Tensor("rg_lru.input_gate_bias", [H, block], Init.Zeros);
        decayGate = weights.Tensor("rg_lru.recurrent_gate_weight", [H, block, block], normal);
        decayGateBias = weights.Tensor("rg_lru.recurrent_gate_bias", [H, block], Init.Zeros);
        output = weights.Linear("linear_out", I, D, bias: true);
        gated = Layers.Activation.Gate(config.Activation);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B) => new() { ["conv"] = conv.NewState(B), ["h"] = zeros(B, config.I) };

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, Tensor> AsPublished(LayerState state, long position) => new Dictionary<string, Tensor>
    {
        ["conv"] = state["conv"].alias(),
        ["rg_lru"] = state["h"].alias(),
    };

    /// <inheritdoc/>
    public override Tensor forward(Tensor u, Pass pass)
    {
        using var scope = NewDisposeScope();
        var mask = pass.Mask?.unsqueeze(-1);
        var x = input.call(u);
        if (mask is not null) x = x * mask;
        (x, pass.State["conv"]) = conv.Read(x, pass.State["conv"]);

        var logA = Gate(x, decayGate, decayGateBias) * Number(-Sharpness) * decay.Softplus();   // [B, T, I]
        var b = x * Gate(x, inputGate, inputGateBias) * Normaliser(logA, pass);
        if (mask is not null) b = b * mask;   // the filter's bias would otherwise enter the state
        (var h, pass.State["h"]) = Ops.Scan(logA.exp(), b, pass.State["h"]);
        return output.call(gated(h, gate.call(u))).MoveToOuterDisposeScope();
    }

    // sigmoid(x W + b) for each block of channels.
    private Tensor Gate(Tensor x, Tensor weight, Tensor bias)
    {
        var blocks = x.unflatten(2, [config.H, -1]);                                           // [B, T, H, block]
        var product = Ops.Product(blocks.flatten(0, 1).transpose(0, 1), weight).transpose(0, 1);   // [B T, H, block]
        return product.view(blocks.shape).Plus(bias).sigmoid().flatten(2);
    }

    // √(1 - a²), so that the state keeps its size, but 1 for the first token of a text, which meets no state.
    private static Tensor Normaliser(Tensor logA, Pass pass)
    {
        const double Smallest = 1e-14;   // keeps the slope of the root finite where a is one
        var root = (logA * Number(2)).expm1().neg().clamp_min(Number(Smallest)).sqrt();
        var at = Integers(pass.Position, pass.Position + logA.size(1), logA.device).unsqueeze(0);             // [1, T]
        var first = pass.Padding is { } padding ? at.eq(padding.Starts.unsqueeze(1)) : at.eq(Number(0));
        return root.masked_fill(first.unsqueeze(-1), Number(1));
    }

    // The decay of an open gate lies evenly, by its square, between 0.9² and 0.999².
    private static Tensor FirstDecay(Tensor even)
    {
        var squared = (even * Number(0.999 * 0.999 - 0.9 * 0.9)).Plus(0.9 * 0.9);
        return (squared.log() * Number(-0.5)).expm1().log();
    }
}

/// <summary>Softmax attention over a window, the other mixer of Griffin.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is key and value [B, KeyHeads, W - 1, E]: a token sees W tokens, itself among them.</remarks>
public sealed class LocalAttention(long D, AttentionConfig heads, Rotary rotary, long W, bool bias, WeightSource weights) : SequenceMixer
{
    private readonly Linear query = weights.Linear("q_proj", D, heads.H * heads.E, bias);
    private readonly Linear key = weights.Linear("k_proj", D, heads.KeyHeads * heads.E, bias);
    private readonly Linear value = weights.Linear("v_proj", D, heads.KeyHeads * heads.E, bias);
    private readonly Linear output = weights.Linear("o_proj", heads.H * heads.E, D, bias: true);
    private readonly SlidingWindow window = new(heads, rotary, W - 1);

    /// <inheritdoc/>
    public override string Kind => $"SlidingWindow of {W - 1}";

    /// <inheritdoc/>
    public override LayerState NewState(long B) => window.NewState(B);

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, Tensor> AsPublished(LayerState state, long position) =>
        state.Names.ToDictionary(name => name, name => Slots(state[name], position));

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        return output.call(window.Read(query.call(x), key.call(x), value.call(x), pass)).MoveToOuterDisposeScope();
    }

    // The authors keep W slots, oldest first, of which the last are empty until W tokens were read.
    private Tensor Slots(Tensor ring, long position)
    {
        using var scope = NewDisposeScope();
        var past = Ops.InOrder(ring, position);
        return (position < W ? nn.functional.pad(past, [0, 0, 0, W - past.size(2)]) : past.alias()).MoveToOuterDisposeScope();
    }
}

/// <summary>RecurrentGemma (arXiv 2404.07839), the published form of Griffin.</summary>
public static class RecurrentGemma
{
    /// <summary>transformers RecurrentGemma.</summary>
    public static readonly CheckpointFamily Transformers = new(
        "transformers RecurrentGemma", (config, _) => config.String("model_type", "") == "recurrent_gemma", Build,
        [
            ("model.embed_tokens.weight", "embedding.weight"),
            ("model.layers.{i}.temporal_pre_norm.", "blocks.{i}.norm."),
            ("model.layers.{i}.channel_pre_norm.", "blocks.{i}.norm2."),
            ("model.layers.{i}.temporal_block.", "blocks.{i}.mixer."),
            ("model.layers.{i}.mlp_block.", "blocks.{i}.mlp."),
            ("model.final_norm.", "norm."),
            ("lm_head.weight", "head.weight"),
        ])
    {
        Example = """
            {
              "model_type": "recurrent_gemma", "hidden_size": 24, "num_hidden_layers": 3, "vocab_size": 96, "intermediate_size": 64, "num_attention_heads": 3,
              "num_key_value_heads": 1, "lru_width": 36, "attention_window_size": 8
            }
            """,
    };

    private static LanguageModel Build(ConfigJson config, WeightSource weights)
    {
        long D = config.Size("hidden_size", 2560), H = config.Size("num_attention_heads", 10);
        long width = Sizes.Divide(config.Size("intermediate_size", 7680), "channels (intermediate_size)", 2, "halves");
        string activation = config.String("hidden_activation", "gelu_pytorch_tanh");
        var recurrence = new GatedRecurrenceConfig(D, config.Size("lru_width", D), H, config.Size("conv1d_width", 4))
        {
            Activation = activation,
            GateVariance = config.Double("w_init_variance_scale", 0.01),
        };
        var kinds = config.Strings("block_types") ?? ["recurrent", "recurrent", "attention"];
        if (kinds.Count == 0) throw new InvalidDataException($"{config.Where("block_types")} is empty; recurrent and attention are known.");
        RmsNorm Norm(WeightSource w, string name) =>
            new(w.Vector($"{name}.weight", D, Init.Zeros), config.Double("rms_norm_eps", 1e-6), offset: 1);

        var blocks = new List<SequenceModule>();
        for (int i = 0; i < config.Size("num_hidden_layers", 26); i++)
        {
            var w = weights.In($"blocks.{i}");
            SequenceMixer mixer = kinds[i % kinds.Count] switch
            {
                "recurrent" => new GatedRecurrence(recurrence, w.In("mixer")),
                "attention" => Attention(config, D, H, w.In("mixer")),
                string other => throw new InvalidDataException($"{config.Where("block_types")} names \"{other}\"; recurrent and attention are known."),
            };
            blocks.Add(new ResidualBlock(Norm(w, "norm"), mixer, Norm(w, "norm2"), Hybrid.Mlp(w.In("mlp"), D, width, activation, bias: true)));
        }
        var frame = new LanguageModelConfig(D, config.Size("vocab_size", 256000))
        {
            Architecture = "recurrent-gemma",
            Tied = config.Bool("tie_word_embeddings", true),
            EmbeddingScale = RoundedRoot(D),
            LogitCap = config.Double("logits_soft_cap", 30),
        };
        return new(frame, weights, blocks, Norm(weights, "norm"));
    }

    private static LocalAttention Attention(ConfigJson config, long D, long H, WeightSource weights)
    {
        long W = config.Size("attention_window_size", 2048);
        long E = config.Has("head_dim") ? config.Size("head_dim") : Sizes.Divide(D, "channels (hidden_size)", H, "heads (num_attention_heads)");
        var rotary = new Rotary((long)(config.Double("partial_rotary_factor", 0.5) * E), config.Double("rope_theta", 10000));
        return new(D, AttentionConfig.Of(H, config.Size("num_key_value_heads", H), E), rotary, W, config.Bool("attention_bias", false), weights);
    }

    // The authors multiply by √D in bfloat16, whatever the type of the model; the weights are trained for it.
    private static double RoundedRoot(long D)
    {
        using var scope = NewDisposeScope();
        return tensor((float)Math.Sqrt(D)).to(ScalarType.BFloat16).to(ScalarType.Float32).item<float>();
    }
}
