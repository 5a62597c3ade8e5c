using ReadTwice.Checkpoints;
using ReadTwice.Layers;

namespace ReadTwice.Models;

/// <summary>What the hybrids of state spaces and attention in transformers have in common: Jamba, Bamba and Falcon-H1.</summary>
internal static class Hybrid
{
    /// <summary>Their tensor names.</summary>
    public static IReadOnlyList<(string Theirs, string Ours)> Names { get; } =
    [
        ("model.embed_tokens.weight", "embedding.weight"),
        ("model.layers.{i}.input_layernorm.", "blocks.{i}.norm."),
        ("model.layers.{i}.pre_ff_layernorm.", "blocks.{i}.norm2."),
        ("model.layers.{i}.mamba.", "blocks.{i}.mamba."),
        ("model.layers.{i}.self_attn.", "blocks.{i}.attention."),
        ("model.layers.{i}.feed_forward.", "blocks.{i}.mlp."),
        ("model.final_layernorm.", "norm."),
        ("lm_head.weight", "head.weight"),
    ];

    /// <summary>Width of an attention head.</summary>
    public static long HeadWidth(ConfigJson config, long D) => config.Has("head_dim")
        ? config.Size("head_dim") : Sizes.Divide(D, "channels (hidden_size)", config.Size("num_attention_heads", 32), "heads (num_attention_heads)");

    /// <summary>Softmax attention over all that was read.</summary>
    public static SelfAttention Attention(ConfigJson config, long D, Rotary rotary, WeightSource weights, double keyScale = 1)
    {
        bool bias = config.Bool("attention_bias", false);
        long H = config.Size("num_attention_heads", 32);
        long keyHeads = config.Size("num_key_value_heads", config.IsNull("num_key_value_heads") ? H : 8);
        var heads = AttentionConfig.Of(H, keyHeads, HeadWidth(config, D));
        return new(
            new(D, heads, QkvLayout.Separate) { Rotary = rotary, QkvBias = bias, OutputBias = bias, KeyScale = keyScale },
            weights.As(("q", "q_proj"), ("k", "k_proj"), ("v", "v_proj"), ("output", "o_proj")));
    }

    /// <summary>An MLP with the names of their parts.</summary>
    public static GatedMlp Mlp(WeightSource weights, long D, long width, string activation, bool bias) =>
        new(weights.As(("gate", "gate_proj"), ("up", "up_proj"), ("down", "down_proj")), D, width, activation, bias);

    /// <summary>The sizes of a Mamba-2 layer as Bamba and Falcon-H1 give them, for so many inner channels.</summary>
    public static Mamba2Config Mamba2(ConfigJson config, long D, long I)
    {
        long H = config.Size("mamba_n_heads", 128), P = Sizes.Divide(I, "inner channels", H, "heads (mamba_n_heads)");
        if (config.Has("mamba_d_head") && !config.IsString("mamba_d_head") && config.Size("mamba_d_head") != P)
            throw new InvalidDataException($"{config.Where("mamba_d_head")} is {config.Size("mamba_d_head")}; {I} inner channels in {H} heads need {P}.");
        return new(D, H, P, config.Size("mamba_n_groups", 1), config.Size("mamba_d_state", 256))
        {
            Taps = config.Size("mamba_d_conv", 4),
            ConvBias = config.Bool("mamba_conv_bias", true),
            InputBias = config.Bool("mamba_proj_bias", false),
            Activation = config.String("hidden_act", "silu"),
            NormEpsilon = config.Double("rms_norm_eps", 1e-5),
            PaddingLeaksBias = true,
        };
    }
}
