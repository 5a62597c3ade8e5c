using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>The frame of fla-org's models: an embedding, blocks of a mixer and a gated MLP, and softmax attention in some of them.</summary>
/// <remarks>
/// x ← x + mixer(norm(x)), x ← x + mlp(norm2(x)) in each block, all norms root-mean-square. Models differ in their mixers and in a
/// few defaults of their configs; keys that name a kernel or belong to training are not read.
/// </remarks>
public static class Fla
{
    private static readonly IReadOnlyList<(string Theirs, string Ours)> names =
    [
        ("model.embeddings.weight", "embedding.weight"),
        ("model.layers.{i}.attn_norm.", "blocks.{i}.norm."),
        ("model.layers.{i}.mlp_norm.", "blocks.{i}.norm2."),
        ("model.layers.{i}.attn.", "blocks.{i}.mixer."),
        ("model.layers.{i}.mlp.gate_proj.", "blocks.{i}.mlp.gate."),
        ("model.layers.{i}.mlp.up_proj.", "blocks.{i}.mlp.up."),
        ("model.layers.{i}.mlp.down_proj.", "blocks.{i}.mlp.down."),
        ("model.lower_bounds", "lowerBounds"),
        ("model.norm.weight", "norm.weight"),
        ("lm_head.weight", "head.weight"),
    ];

    /// <summary>A form of this frame, told by its model_type.</summary>
    internal static CheckpointFamily Family(
        string name, string modelType, Func<ConfigJson, WeightSource, LanguageModel> build, string example) => new(
        name, (config, _) => config.String("model_type", "") == modelType, build, names)
        {
            Adapt = (_, tensors) => SplitFusedMlp(tensors),
            Example = example,
        };

    /// <summary>Builds the frame around mixers.</summary>
    /// <param name="config">config.json.</param>
    /// <param name="weights">Where parameters come from, at the model.</param>
    /// <param name="architecture">The architecture's name.</param>
    /// <param name="mixer">Makes the mixer of a layer, by its index and its own part of the source.</param>
    /// <param name="layers">How many layers there are where the config does not say.</param>
    /// <param name="ratio">Width of the MLP in terms of the model's where the config does not say.</param>
    /// <param name="readsRopeTheta">Whether its softmax layers take the base of their rotary embedding from the config.</param>
    internal static LanguageModel Build(
        ConfigJson config, WeightSource weights, string architecture, Func<int, WeightSource, SequenceMixer> mixer,
        long layers = 24, double ratio = 4, bool readsRopeTheta = true)
    {
        RefuseDepthAttention(config);
        long D = Width(config), width = MlpWidth(config, D, ratio);
        double epsilon = Epsilon(config);
        var blocks = new List<SequenceModule>();
        for (int i = 0; i < config.Size("num_hidden_layers", layers); i++)
        {
            var w = weights.In($"blocks.{i}");
            blocks.Add(new ResidualBlock(
                w.RmsNorm("norm", D, epsilon),
                Attention(config, i) is { } attention ? Attend(attention, w.In("mixer"), D, readsRopeTheta) : mixer(i, w.In("mixer")),
                w.RmsNorm("norm2", D, epsilon),
                new GatedMlp(w.In("mlp"), D, width, config.String("hidden_act", "swish"))));
        }
        var frame = new LanguageModelConfig(D, config.Size("vocab_size", 32000))
        {
            Architecture = architecture,
            Tied = config.Bool("tie_word_embeddings", false),
        };
        return new(frame, weights, blocks, weights.RmsNorm("norm", D, epsilon));
    }

    /// <summary>Refuses what very recent configs can ask for and no model here has.</summary>
    /// <exception cref="InvalidDataException">The config asks for it.</exception>
    internal static void RefuseDepthAttention(ConfigJson config)
    {
        if (config.Has("attnres_block_size"))
            throw new InvalidDataException($"{config.Where("attnres_block_size")} is set; residuals that attend over depth are not supported. Use a checkpoint without them.");
    }

    /// <summary>The model's width.</summary>
    internal static long Width(ConfigJson config) => config.Size("hidden_size", 2048);

    /// <summary>ε of the norms, but of those that ignore the config.</summary>
    internal static double Epsilon(ConfigJson config) => config.Double("norm_eps", 1e-6);

    /// <summary>Taps of the short filters over a mixer's projections; 0 where it has none.</summary>
    internal static long Taps(ConfigJson config, bool otherwise) => config.Bool("use_short_conv", otherwise) ? config.Size("conv_size", 4) : 0;

    /// <summary>The norm of a mixer's output, with a weight unless the config leaves it out.</summary>
    internal static RmsNorm OutputNorm(ConfigJson config, WeightSource weights, string name, long n, double epsilon) =>
        config.Bool("elementwise_affine", true) ? weights.RmsNorm(name, n, epsilon) : new(null, epsilon);

    /// <summary>The norm before an output gate, over each head, under the name that the authors choose by how they compute it.</summary>
    internal static RmsNorm GatedNorm(ConfigJson config, WeightSource weights, long V)
    {
        bool fused = config.Bool("use_output_gate", true) && config.Bool("fuse_norm", true) && config.String("hidden_act", "swish") == "swish";
        return OutputNorm(config, weights, fused ? "g_norm_swish_gate" : "g_norm", V, Epsilon(config));
    }

    /// <summary>How many heads there are and how wide their keys, where expand_ratio gives the width and either may be left out.</summary>
    /// <param name="config">config.json.</param>
    /// <param name="ratioWins">Whether expand_ratio decides the number of heads even where num_heads is given.</param>
    internal static (long H, long F) HeadsOfRatio(ConfigJson config, bool ratioWins)
    {
        long D = Width(config);
        long F = config.IsNull("expand_ratio") ? Part(D, "hidden_size", config.Size("num_heads"), "num_heads") : config.Size("expand_ratio", 128);
        if (!ratioWins && config.Has("num_heads")) return (config.Size("num_heads"), F);
        if (F > D) throw new InvalidDataException($"{config.Where("expand_ratio")} is {F}; a width of 1 to hidden_size, {D}, is needed.");
        return (D / F, F);
    }

    /// <summary>A width that the config gives as a multiple of the model's.</summary>
    internal static long Expanded(ConfigJson config, string key, double otherwise) => (long)(Width(config) * config.Double(key, otherwise));

    /// <summary>The size of one of several equal parts.</summary>
    /// <param name="total">What is divided.</param>
    /// <param name="what">What that is called in messages.</param>
    /// <param name="parts">Into how many parts.</param>
    /// <param name="by">What those are called.</param>
    /// <exception cref="InvalidDataException">It does not divide.</exception>
    internal static long Part(long total, string what, long parts, string by)
    {
        if (parts < 1 || total < 1 || total % parts != 0)
            throw new InvalidDataException($"config.json: {what} is {total} and {by} is {parts}; the one must be a multiple of the other.");
        return total / parts;
    }

    private static long MlpWidth(ConfigJson config, long D, double ratio)
    {
        if (config.IsNull("hidden_ratio")) ratio = 4;
        return config.Size("intermediate_size", ((long)(D * config.Double("hidden_ratio", ratio) * 2 / 3) + 255) / 256 * 256);
    }

    /// <summary>What the config says of a layer of softmax attention; null where the layer is none.</summary>
    internal static ConfigJson? Attention(ConfigJson config, long layer) =>
        config.Objects("attn")?.FirstOrDefault(each => LayersOf(each).Contains(layer));

    /// <summary>A layer of softmax attention.</summary>
    internal static SelfAttention Attend(ConfigJson attention, WeightSource weights, long D, bool readsRopeTheta)
    {
        long H = attention.Size("num_heads"), E = Part(D, "hidden_size", H, "attn.num_heads");
        long? window = attention.Has("window_size") ? attention.Size("window_size") : null;
        return new(new(D, AttentionConfig.Of(H, attention.Size("num_kv_heads", H), E), QkvLayout.Separate)
        {
            Rotary = new(E, readsRopeTheta ? attention.Double("rope_theta", 10000) : 10000),
            W = window - 1,
            QkvBias = attention.Bool("qkv_bias", false),
        }, weights.As(("q", "q_proj"), ("k", "k_proj"), ("v", "v_proj"), ("output", "o_proj")));
    }

    private static IReadOnlyList<long> LayersOf(ConfigJson attention) => attention.Longs("layers")
        ?? throw new InvalidDataException($"{attention.Where("layers")} is missing; the indices of the layers of softmax attention are needed.");

    // Files of before February 2025 hold gate and up in one matrix, the gate's rows first.
    private static void SplitFusedMlp(IDictionary<string, Tensor> tensors)
    {
        const string Gate = ".mlp.gate_proj.weight", Up = ".mlp.up_proj.weight";
        foreach (string name in tensors.Keys.Where(name => name.EndsWith(Gate, StringComparison.Ordinal)).ToArray())
        {
            string up = name[..^Gate.Length] + Up;
            var both = tensors[name];
            if (tensors.ContainsKey(up) || both.dim() != 2 || both.size(0) % 2 != 0) continue;
            long rows = both.size(0) / 2;
            (tensors[name], tensors[up]) = (both.narrow(0, 0, rows), both.narrow(0, rows, rows));
        }
    }
}
