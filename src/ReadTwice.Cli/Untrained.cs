using ReadTwice.Checkpoints;

namespace ReadTwice.Cli;

/// <summary>The model that is used where none is named: small, made on the spot, and the same every time.</summary>
internal static class Untrained
{
    private const int Seed = 2407;

    // A JRT-RNN of the published shape, 1.1 million parameters, over the 256 bytes.
    private const string Config = """
        {
          "model_type": "gpt2", "vocab_size": 257, "pad_vocab_size_multiple": 8, "n_embd": 128, "n_layer": 6, "n_head": 4, "n_inner": 256,
          "n_positions": 0, "rms_norm": true, "activation_function": "swiglu", "mlp_fc1_bias": false, "mlp_fc2_bias": false,
          "qkv_proj_bias": false, "out_proj_bias": false, "rotary_emb_fraction": 1, "tie_word_embeddings": true,
          "mixer": { "_target_": "BaseConv", "expand_proj": 4, "use_bias": true },
          "alt_mixer": { "_target_": "PrefixLinearAttention", "num_heads": 4, "feature_dim": 16, "enc_length": 1024 }, "alt_mixer_layers": [1, 4],
          "alt_mixer_2": { "_target_": "SlidingAttention", "window_size": 128 }, "alt_mixer_2_layers": [2]
        }
        """;

    /// <summary>The model with its tokenizer.</summary>
    public static Checkpoint Model() => Checkpoint.New("untrained JRT-RNN", ConfigJson.Parse(Config, "the untrained model's config"), new ByteTokenizer(), Seed);
}
