namespace ReadTwice.Bench;

/// <summary>Configs of the sizes that papers and peers report, for models of random weights.</summary>
public static class Shapes
{
    private static readonly Dictionary<string, string> configs = new()
    {
        ["jrt-360m"] = Hazy(26, """
            "alt_mixer": { "_target_": "PrefixLinearAttention", "num_heads": 16, "feature_dim": 16, "enc_length": 1024 },
            """),
        ["fda-jrt"] = Small(192, 6, 6, 256, 3, 48, "[1, 4]", "[2, 5]", 4096),
        ["jrt-small"] = Small(384, 12, 6, 768, 6, 16, "[1, 5, 9]", "[2, 6, 10]", 16384),
        ["based-360m"] = Hazy(27, """
            "alt_mixer": { "_target_": "LinearAttention", "num_heads": 16, "feature_dim": 16, "feature_map": { "input_dim": 16 } },
            """),
        ["transformer-360m"] = """
            {
              "model_type": "gpt2", "vocab_size": 50257, "pad_vocab_size_multiple": 16, "n_embd": 1024, "n_layer": 24, "n_head": 16, "n_inner": 2816,
              "n_positions": 0, "rms_norm": true, "activation_function": "swiglu", "rotary_emb_fraction": 0.5, "mlp_fc1_bias": false,
              "mlp_fc2_bias": false, "qkv_proj_bias": false, "out_proj_bias": false
            }
            """,
        ["mamba-130m"] = """{ "d_model": 768, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": {} }""",
        ["mamba2-130m"] = """{ "d_model": 768, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": { "layer": "Mamba2" }, "pad_vocab_size_multiple": 16 }""",
        ["rwkv7-170m"] = """
            { "model_type": "rwkv7", "hidden_size": 768, "num_hidden_layers": 12, "head_dim": 64, "decay_low_rank_dim": 64, "a_low_rank_dim": 64,
              "v_low_rank_dim": 32, "gate_low_rank_dim": 128, "intermediate_size": 3072, "vocab_size": 50288, "tie_word_embeddings": false }
            """,
        ["gla-130m"] = """
            { "model_type": "gla", "hidden_size": 768, "num_hidden_layers": 12, "num_heads": 4, "intermediate_size": 2048, "vocab_size": 50288, "tie_word_embeddings": true }
            """,
        ["deltanet-130m"] = """
            { "model_type": "delta_net", "hidden_size": 768, "num_hidden_layers": 12, "num_heads": 12, "intermediate_size": 2048, "vocab_size": 50288,
              "tie_word_embeddings": true }
            """,
        ["gated-deltanet-130m"] = """
            { "model_type": "gated_deltanet", "hidden_size": 768, "num_hidden_layers": 12, "num_heads": 6, "head_dim": 96, "expand_v": 2,
              "intermediate_size": 2048, "vocab_size": 50288, "tie_word_embeddings": true }
            """,
        ["llama-124m"] = """
            { "model_type": "llama", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 2048,
              "vocab_size": 50288, "tie_word_embeddings": true }
            """,
    };

    /// <summary>The names of the shapes.</summary>
    public static IEnumerable<string> Names => configs.Keys;

    /// <summary>A shape's config.json.</summary>
    /// <exception cref="ArgumentException">There is none of this name.</exception>
    public static string Config(string name) => configs.TryGetValue(name, out string? config) ? config
        : throw new ArgumentException($"The shape \"{name}\" is not known. Known: {string.Join(", ", Names)}.");

    // As the readers that ship are made, which configs/ trains.
    private static string Small(int D, int layers, int H, int inner, int linearHeads, int K, string linear, string sliding, int vocabulary) => $$"""
        {
          "model_type": "gpt2", "vocab_size": {{vocabulary}}, "pad_vocab_size_multiple": 8, "n_embd": {{D}}, "n_layer": {{layers}}, "n_head": {{H}}, "n_inner": {{inner}},
          "n_positions": 0, "rms_norm": true, "activation_function": "swiglu", "rotary_emb_fraction": 1, "mlp_fc1_bias": false, "mlp_fc2_bias": false,
          "qkv_proj_bias": false, "out_proj_bias": false, "mixer": { "_target_": "BaseConv", "expand_proj": 4, "use_bias": true },
          "alt_mixer": { "_target_": "PrefixLinearAttention", "num_heads": {{linearHeads}}, "feature_dim": {{K}}, "enc_length": 1024 }, "alt_mixer_layers": {{linear}},
          "alt_mixer_2": { "_target_": "SlidingAttention", "window_size": 128 }, "alt_mixer_2_layers": {{sliding}}
        }
        """;

    private static string Hazy(int layers, string linearAttention) => $$"""
        {
          "model_type": "gpt2", "vocab_size": 50257, "pad_vocab_size_multiple": 8, "n_embd": 1024, "n_layer": {{layers}}, "n_head": 16, "n_inner": 2048,
          "n_positions": 0, "rms_norm": true, "activation_function": "swiglu", "rotary_emb_fraction": 1, "mlp_fc1_bias": false,
          "mlp_fc2_bias": false, "qkv_proj_bias": false, "out_proj_bias": false, "mixer": { "_target_": "BaseConv", "expand_proj": 4 },
          {{linearAttention}} "alt_mixer_layers": [1, 6, 11, 16, 21],
          "alt_mixer_2": { "_target_": "SlidingAttention", "window_size": 256 }, "alt_mixer_2_layers": [2, 7, 12, 17, 22]
        }
        """;
}
