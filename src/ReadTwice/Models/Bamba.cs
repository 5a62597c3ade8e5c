using ReadTwice.Checkpoints;
using ReadTwice.Layers;

namespace ReadTwice.Models;

/// <summary>Bamba: Mamba-2 layers, and a few of attention whose heads turn in one half.</summary>
public static class Bamba
{
    /// <summary>transformers Bamba.</summary>
    public static readonly CheckpointFamily Transformers = new(
        "transformers Bamba", (config, _) => config.String("model_type", "") == "bamba", Build, Hybrid.Names)
    {
        Example = """
            {
              "model_type": "bamba", "hidden_size": 24, "num_hidden_layers": 3, "vocab_size": 96, "intermediate_size": 32, "num_attention_heads": 3,
              "num_key_value_heads": 1, "attn_layer_indices": [1], "mamba_n_heads": 6, "mamba_n_groups": 2, "mamba_d_state": 8, "mamba_proj_bias": true
            }
            """,
    };

    private static LanguageModel Build(ConfigJson config, WeightSource weights)
    {
        long D = config.Size("hidden_size", 4096), width = config.Size("intermediate_size", 14336), E = Hybrid.HeadWidth(config, D);
        double epsilon = config.Double("rms_norm_eps", 1e-5);
        string activation = config.String("hidden_act", "silu");
        var rotary = new Rotary(
            (long)(E * config.Double("partial_rotary_factor", 0.5)), config.Double("rope_theta", 10000), config.Object("rope_scaling"),
            config.Double("max_position_embeddings", 262144));
        var mamba = Hybrid.Mamba2(config, D, (long)(config.Double("mamba_expand", 2) * D)) with
        {
            OutputBias = config.Bool("mamba_proj_bias", false),
            FirstStepBias = Init.Ones,
        };
        var attention = config.Longs("attn_layer_indices") ?? [];
        var blocks = new List<SequenceModule>();
        for (int i = 0; i < config.Size("num_hidden_layers", 32); i++)
        {
            var w = weights.In($"blocks.{i}");
            blocks.Add(new ResidualBlock(
                w.RmsNorm("norm", D, epsilon),
                attention.Contains(i) ? Hybrid.Attention(config, D, rotary, w.In("attention")) : new Mamba2Mixer(mamba, w.In("mamba")),
                w.RmsNorm("norm2", D, epsilon),
                Hybrid.Mlp(w.In("mlp"), D, width, activation, config.Bool("mlp_bias", false))));
        }
        return new(
            new(D, config.Size("vocab_size", 128000)) { Architecture = "bamba", Tied = config.Bool("tie_word_embeddings", false) },
            weights, blocks, weights.RmsNorm("norm", D, epsilon));
    }
}
