using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>The frame of HazyResearch's checkpoints: JRT-RNN, Based and their attention baseline differ only in their mixers.</summary>
/// <remarks>The config is a dump of a GPT-2 config object; class paths inside it may be historical, so they are told by meaning.</remarks>
public static class Hazy
{
    private const double TaylorEpsilon = 1e-12;
    private static readonly string[] mixers = ["mixer", "alt_mixer", "alt_mixer_2"];

    // What the authors' code has a switch for and no published model sets otherwise.
    private static readonly (string Key, bool Known)[] settled =
        [("prenorm", true), ("parallel_block", false), ("rotary_emb_interleaved", false), ("norm_head", false)];

    /// <summary>JRT-RNN (arXiv 2407.05483).</summary>
    public static readonly CheckpointFamily Jrt = Family("HazyResearch JRT-RNN", "jrt", config => HasMixer(config) && HasPrefix(config), """
        {
          "model_type": "gpt2", "vocab_size": 91, "pad_vocab_size_multiple": 8, "n_embd": 24, "n_layer": 4, "n_head": 3, "n_inner": 48, "n_positions": 0,
          "rms_norm": true, "activation_function": "swiglu", "mlp_fc1_bias": false, "mlp_fc2_bias": false, "qkv_proj_bias": false, "out_proj_bias": false,
          "rotary_emb_fraction": 1, "mixer": { "_target_": "BaseConv", "expand_proj": 4 },
          "alt_mixer": { "_target_": "PrefixLinearAttention", "num_heads": 3, "feature_dim": 8, "enc_length": 12 }, "alt_mixer_layers": [1],
          "alt_mixer_2": { "_target_": "SlidingAttention", "window_size": 16 }, "alt_mixer_2_layers": [2]
        }
        """);

    /// <summary>Based (arXiv 2402.18668).</summary>
    public static readonly CheckpointFamily Based = Family("HazyResearch Based", "based", config => HasMixer(config) && !HasPrefix(config), """
        {
          "model_type": "gpt2", "vocab_size": 91, "pad_vocab_size_multiple": 8, "n_embd": 24, "n_layer": 4, "n_head": 3, "n_inner": 48, "n_positions": 0,
          "rms_norm": true, "activation_function": "swiglu", "mlp_fc1_bias": false, "mlp_fc2_bias": false, "qkv_proj_bias": false, "out_proj_bias": false,
          "rotary_emb_fraction": 1, "fixed_decay": true, "mixer": { "_target_": "BaseConv", "expand_proj": 4 },
          "alt_mixer": { "_target_": "LinearAttention", "num_heads": 3, "feature_dim": 8, "use_decay_proj": true }, "alt_mixer_layers": [1],
          "alt_mixer_2": { "_target_": "SlidingAttention", "window_size": 16 }, "alt_mixer_2_layers": [2]
        }
        """);

    /// <summary>The Transformer baseline of both papers.</summary>
    public static readonly CheckpointFamily Attention = Family(
        "HazyResearch attention", "transformer",
        config => !HasMixer(config) && config.Has("n_embd") && !config.Has("d_model") && (config.Has("rotary_emb_fraction") || config.Has("rms_norm")), """
        {
          "model_type": "gpt2", "vocab_size": 91, "pad_vocab_size_multiple": 8, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_inner": 48, "n_positions": 0,
          "rms_norm": true, "activation_function": "swiglu", "mlp_fc1_bias": false, "mlp_fc2_bias": false, "qkv_proj_bias": false, "out_proj_bias": false,
          "rotary_emb_fraction": 0.5
        }
        """);

    private static CheckpointFamily Family(string name, string architecture, Func<ConfigJson, bool> matches, string example) => new(
        name, (config, _) => config.String("model_type", "gpt2") == "gpt2" && matches(config), (config, weights) => Build(config, weights, architecture),
        [
            ("transformer.embeddings.word_embeddings.weight", "embedding.weight"),
            ("transformer.embeddings.position_embeddings.weight", "positions.weight"),
            ("transformer.decay.decay", "decay"),
            ("transformer.layers.{i}.norm1.", "blocks.{i}.norm."),
            ("transformer.layers.{i}.norm2.", "blocks.{i}.norm2."),
            ("transformer.layers.{i}.mlp.", "blocks.{i}.mlp."),
            ("transformer.layers.{i}.mixer.in_proj.", "blocks.{i}.mixer.input."),
            ("transformer.layers.{i}.mixer.conv.conv.", "blocks.{i}.mixer.conv."),
            ("transformer.layers.{i}.mixer.proj_q.", "blocks.{i}.mixer.query."),
            ("transformer.layers.{i}.mixer.proj_k.", "blocks.{i}.mixer.key."),
            ("transformer.layers.{i}.mixer.proj_v.", "blocks.{i}.mixer.value."),
            ("transformer.layers.{i}.mixer.proj_k_enc.", "blocks.{i}.mixer.prefixKey."),
            ("transformer.layers.{i}.mixer.proj_v_enc.", "blocks.{i}.mixer.prefixValue."),
            ("transformer.layers.{i}.mixer.decay_proj.", "blocks.{i}.mixer.gate."),
            ("transformer.layers.{i}.mixer.Wqkv.", "blocks.{i}.mixer.qkv."),
            ("transformer.layers.{i}.mixer.out_proj.", "blocks.{i}.mixer.output."),
            ("transformer.ln_f.", "norm."),
            ("lm_head.", "head."),
        ])
    {
        Clean = Clean,
        Example = example,
    };

    /// <summary>Takes off the training framework's prefix, drops its counters, and brings the older name of the filter up to date.</summary>
    internal static string? Clean(string name)
    {
        if (name.StartsWith("model.", StringComparison.Ordinal)) name = name["model.".Length..];
        return CheckpointFamily.Standard(name.Replace("conv1", "conv", StringComparison.Ordinal));
    }

    private static bool HasMixer(ConfigJson config) => config.Object("mixer") is not null;

    private static bool HasPrefix(ConfigJson config) => mixers
        .Any(key => config.Object(key)?.String("_target_", "").Contains("PrefixLinearAttention", StringComparison.Ordinal) == true);

    private static LanguageModel Build(ConfigJson config, WeightSource weights, string architecture)
    {
        RefuseUnknown(config);
        long D = config.Size("n_embd", 768), layers = config.Size("n_layer", 12);
        long multiple = config.Size("pad_vocab_size_multiple", 1), vocabulary = config.Size("vocab_size", 50257);
        var decay = config.Bool("fixed_decay", false) && DecayProjects(config)
            ? weights.Vector("decay", config.Size("n_head", 12), Init.Values(() => LogDecay(config))) : null;
        if (decay is null) weights.Skip("decay");
        else decay.requires_grad = false;   // it is fixed
        long encoderLength = 0;
        var blocks = new List<SequenceModule>();
        for (int i = 0; i < layers; i++)
        {
            var w = weights.In($"blocks.{i}");
            var mixer = Mixer(config, w.In("mixer"), i, decay);
            if (mixer.ReadsPrefix) encoderLength = Math.Max(encoderLength, MixerConfig(config, i)!.Long("enc_length"));
            blocks.Add(new ResidualBlock(Norm(config, w, "norm"), mixer, Norm(config, w, "norm2"), FeedForward(config, w.In("mlp"))));
        }

        var frame = new LanguageModelConfig(D, (vocabulary + multiple - 1) / multiple * multiple)
        {
            Architecture = architecture,
            Tied = config.Bool("tie_word_embeddings", true),
            HeadBias = config.Bool("lm_head_bias", false),
            Positions = config.Long("max_position_embeddings", config.Long("n_positions", 1024)),
            EncoderLength = encoderLength,
            EmbeddingScale = config.Double("mup_embeddings_multiplier", 1),
            LogitScale = config.Double("mup_output_multiplier", 1) * config.Double("mup_width_scale", 1),
        };
        return new(frame, weights, blocks, Norm(config, weights, "norm"));
    }

    private static void RefuseUnknown(ConfigJson config)
    {
        foreach (var (key, known) in settled)
            if (config.Bool(key, known) != known)
                throw new InvalidDataException($"{config.Where(key)} is {(known ? "false" : "true")}; only {(known ? "true" : "false")} is known. Use another checkpoint.");
        if (config.Has("word_embed_proj_dim"))
            throw new InvalidDataException($"{config.Where("word_embed_proj_dim")} is set; only embeddings as wide as the model are known. Use another checkpoint.");
    }

    // List 2 is tested first; a layer of a list without its own mixer is full attention, as is every layer where no mixer is named.
    private static ConfigJson? MixerConfig(ConfigJson config, int layer)
    {
        if (config.Longs("alt_mixer_2_layers")?.Contains(layer) == true) return config.Object("alt_mixer_2");
        return config.Longs("alt_mixer_layers")?.Contains(layer) == true ? config.Object("alt_mixer") : config.Object("mixer");
    }

    private static SequenceMixer Mixer(ConfigJson config, WeightSource weights, int layer, Parameter? decay)
    {
        long D = config.Size("n_embd", 768);
        if (MixerConfig(config, layer) is not { } mixer) return Attend(config, weights, layer, HasMixer(config) ? null : Before(config));
        string path = mixer.String("_target_"), name = path[(path.LastIndexOf('.') + 1)..];
        if (name.Contains("PrefixLinearAttention", StringComparison.Ordinal))
            return new PrefixLinearAttention(Taylor(config, mixer, hasPrefix: true), weights, mixer.Bool("use_mask", true));
        if (path.Contains("slid", StringComparison.OrdinalIgnoreCase) || path.Contains("window", StringComparison.OrdinalIgnoreCase))
            return Attend(config, weights, layer, Window(mixer, layer));
        if (name.Contains("LinearAttention", StringComparison.Ordinal))
            return new TaylorLinearAttention(Taylor(config, mixer, hasPrefix: false), weights, mixer.Bool("use_decay_proj", false) ? decay : null);
        if (name.Contains("Conv", StringComparison.Ordinal))
            return new GatedConvolution(weights, D, mixer.Size("expand_proj", 2) * D / 2, mixer.Size("kernel_size", 3), mixer.Bool("use_bias", true));
        throw new InvalidDataException($"{mixer.Where("_target_")} is \"{path}\"; known: BaseConv, PrefixLinearAttention, LinearAttention, SlidingAttention.");
    }

    // JRT-RNN's mixer makes its own feature map and splits the width into heads; Based's is given both.
    private static TaylorAttentionConfig Taylor(ConfigJson config, ConfigJson mixer, bool hasPrefix)
    {
        long D = config.Size("n_embd", 768), H = mixer.Size("num_heads"), K = mixer.Size("feature_dim", 16);
        long V = !hasPrefix && mixer.Has("head_dim") ? mixer.Size("head_dim") : Sizes.Divide(D, "channels (n_embd)", H, "heads (num_heads)");
        long scaled = hasPrefix ? mixer.Size("scale_dim", K) : mixer.Object("feature_map")?.Size("input_dim", K) ?? K;
        return new(D, H, K, V, 1 / Math.Sqrt(scaled), mixer.Double("eps", TaylorEpsilon));
    }

    // How many tokens before its own the attention baseline sees, and after it, which means nothing where attention is causal; -1 for all.
    private static long? Before(ConfigJson config)
    {
        if (config.Longs("window_size") is not { } window) return null;
        if (window.Count != 2) throw new InvalidDataException($"{config.Where("window_size")} holds {window.Count} numbers; 2 are needed, the tokens seen before and after.");
        return window[0] < 0 ? null : window[0];
    }

    // The authors' code replaces a window of 4096 in layers 7 and 17; of any window, half lies before the token.
    private static long Window(ConfigJson mixer, int layer)
    {
        long size = mixer.Size("window_size", 128);
        return (size == 4096 && layer is 7 or 17 ? 256 : size) / 2;
    }

    private static SelfAttention Attend(ConfigJson config, WeightSource weights, int layer, long? W)
    {
        long D = config.Size("n_embd", 768), H = config.Size("n_head", 12), E = D / H;
        double scale = config.Bool("scale_attn_weights", true) ? Math.Pow(E, -0.5) : 1;
        if (config.Bool("scale_attn_by_inverse_layer_idx", false)) scale /= layer + 1;
        return new(new(D, AttentionConfig.Of(H, config.Size("n_head_kv", config.Size("num_head_kv", H)), E) with { Scale = scale, SeesPadding = true }, QkvLayout.Fused)
        {
            Rotary = new((long)(config.Double("rotary_emb_fraction", 0) * E), config.Double("rotary_emb_base", 10000)),
            W = W,
            QkvBias = config.Bool("qkv_proj_bias", true),
            OutputBias = config.Bool("out_proj_bias", true),
        }, weights);
    }

    private static nn.Module<Tensor, Tensor> FeedForward(ConfigJson config, WeightSource weights)
    {
        long D = config.Size("n_embd", 768);
        string activation = config.String("activation_function", "gelu_new");
        bool bias1 = config.Bool("mlp_fc1_bias", true), bias2 = config.Bool("mlp_fc2_bias", true);
        if (activation is not ("swiglu" or "geglu" or "glu"))
            return new Mlp(weights, D, config.Size("n_inner", 4 * D), activation, bias1, bias2);
        // The published files round the width up to a multiple of 256, some of 128: the stored shape decides.
        long width = (config.Size("n_inner", 8 * D / 3) + 255) / 256 * 256;
        return new FusedGatedMlp(weights, D, weights.SizeOf("fc1.weight", 0, 2 * width) / 2, activation, bias1, bias2);
    }

    private static nn.Module<Tensor, Tensor> Norm(ConfigJson config, WeightSource weights, string name)
    {
        double epsilon = config.Double("layer_norm_epsilon", 1e-5);
        return config.Bool("rms_norm", false) ? weights.RmsNorm(name, config.Size("n_embd", 768), epsilon) : weights.LayerNorm(name, config.Size("n_embd", 768), epsilon);
    }

    private static bool DecayProjects(ConfigJson config) =>
        mixers.Any(key => config.Object(key)?.Bool("use_decay_proj", false) == true);

    private static Tensor LogDecay(ConfigJson config) =>
        Integers(0, config.Size("n_head", 12)).to(ScalarType.Float32).neg().Plus(config.Double("decay_const", -3)).exp2().neg().Plus(1).log();
}
