using ReadTwice.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Models;

/// <summary>What the configs of fla-org's models and of RWKV can ask for, beyond what their examples do.</summary>
public sealed class VariantTests : IDisposable
{
    private const string Frame = "\"hidden_size\": 32, \"num_hidden_layers\": 2, \"intermediate_size\": 40, \"vocab_size\": 96";

    private readonly DisposeScope scope = NewDisposeScope();

    public VariantTests() => Native.Libtorch.Threads = 1;

    public static TheoryData<string> Variants =>
    [
        """ "model_type": "gla", "num_heads": 2, "use_output_gate": false, "feature_map": "gelu", "clamp_min": -0.01 """,
        """ "model_type": "gla", "num_heads": 2, "expand_v": 2.0, "elementwise_affine": false, "fuse_norm": false """,
        """ "model_type": "gla", "num_heads": 4, "attn": [{ "layers": [0], "num_heads": 2 }, { "layers": [1], "num_heads": 4, "qkv_bias": true, "window_size": 1 }] """,
        """ "model_type": "retnet", "num_heads": 2, "use_output_gate": false, "feature_map": null, "hidden_ratio": null, "tie_word_embeddings": true """,
        """ "model_type": "hgrn", "use_lower_bound": false, "expand_ratio": 2 """,
        """ "model_type": "hgrn2", "expand_ratio": null, "num_heads": 2, "elementwise_affine": false """,
        """ "model_type": "hgrn2", "expand_ratio": 12, "use_lower_bound": false """,
        """ "model_type": "gsa", "num_heads": 2, "num_slots": null, "feature_map": "relu" """,
        """ "model_type": "lightnet", "expand_ratio": 16, "gate_low_rank_dim": 4, "attn": { "layers": [1], "num_heads": 2, "rope_theta": 50.0 } """,
        """ "model_type": "lightnet", "expand_ratio": null, "num_heads": 4, "gate_low_rank_dim": 4 """,
        """ "model_type": "linear_attn", "num_heads": 2, "feature_map": "dpfp" """,
        """ "model_type": "linear_attn", "num_heads": 2, "feature_map": "relu", "norm_q": true, "norm_k": true """,
        """ "model_type": "linear_attn", "num_heads": 2, "feature_map": "t2r", "tie_feature_map_qk": true """,
        """ "model_type": "linear_attn", "num_heads": 4, "num_kv_heads": 1, "feature_map": "elu", "norm_feature_map": true """,
        """ "model_type": "linear_attn", "num_heads": 2, "feature_map": "identity" """,
        """ "model_type": "delta_net", "num_heads": 2, "use_short_conv": false, "use_beta": false, "qk_activation": "elu", "qk_norm": "sum" """,
        """ "model_type": "delta_net", "num_heads": 4, "expand_v": 2, "qk_activation": "relu", "qk_norm": "sum", "allow_neg_eigval": true """,
        """ "model_type": "delta_net", "num_heads": 4, "qk_activation": "identity", "conv_size": 1, "use_gate": true """,
        """ "model_type": "delta_net", "num_heads": 4, "use_short_conv": false, "attn": { "layers": [1], "num_heads": 4, "window_size": 6 } """,
        """ "model_type": "gated_deltanet", "num_heads": 3, "head_dim": 6, "expand_v": 1.0, "use_gate": false, "use_short_conv": false """,
        """ "model_type": "kda", "num_heads": 2, "head_dim": 8, "lower_bound": -5.0, "allow_neg_eigval": true, "tie_word_embeddings": true """,
        """ "model_type": "kda", "num_heads": 1, "num_v_heads": 3, "head_dim": 8, "use_short_conv": false, "safe_gate": true """,
        """ "model_type": "comba", "num_heads": 2, "head_dim": 8, "use_output_gate": false, "use_short_conv": false """,
        """ "model_type": "rwkv6", "num_heads": 4, "expand_k": 1.0, "expand_v": 2.0, "norm_first": false, "norm_bias": false, "hidden_act": "relu" """,
        """ "model_type": "rwkv7", "head_dim": null, "num_heads": 4, "fuse_norm": false, "norm_bias": false, "tie_word_embeddings": true """,
        """ "model_type": "rwkv7", "head_dim": 16, "decay_low_rank_dim": null, "v_low_rank_dim": null, "norm_first": false """,
        """ "model_type": "rwkv", "attention_hidden_size": 24, "rescale_every": 0, "tie_word_embeddings": true """,
    ];

    public void Dispose() => scope.Dispose();

    [Theory, MemberData(nameof(Variants))]
    public void Every_variant_steps_to_the_logits_and_the_state_of_one_prefill(string variant)
    {
        using var checkpoint = Loud(variant);
        using var inference = no_grad();
        var model = checkpoint.Model;
        var tokens = TestModels.Tokens(model, 2, 70, seed: 21);
        using RecurrentState whole = model.NewState(2, new([0, 3])), stepped = model.NewState(2, new([0, 3]));
        var expected = model.Prefill(tokens, whole);
        var logits = model.Prefill(tokens.narrow(1, 0, 5), stepped);
        for (long t = 5; t < 70; t++) logits = model.Step(tokens.select(1, t), stepped);
        Near.Equal(expected, logits);
        Near.Equal(whole, stepped);
    }

    [Theory, MemberData(nameof(Variants))]
    public void A_padded_row_of_every_variant_gives_what_it_gives_alone(string variant)
    {
        using var checkpoint = Loud(variant);
        var model = checkpoint.Model;
        var tokens = TestModels.Tokens(model, 2, 70, seed: 22);
        using RecurrentState together = model.NewState(2, new([0, 3])), alone = model.NewState();
        var expected = model.Prefill(tokens, together);
        Near.Equal(expected.narrow(0, 1, 1), model.Prefill(tokens.narrow(0, 1, 1).narrow(1, 3, 67), alone));
    }

    [Theory]
    [InlineData(""" "model_type": "gla", "num_heads": 3 """, "config.json: hidden_size · expand_k is 16 and num_heads is 3; the one must be a multiple of the other.")]
    [InlineData(""" "model_type": "gla", "num_heads": 4, "num_kv_heads": 0 """, "config.json: num_kv_heads is 0; a whole number of 1 or more is needed.")]
    [InlineData(""" "model_type": "gla", "attnres_block_size": 4 """, "config.json: attnres_block_size is set; residuals that attend over depth are not supported. Use a checkpoint without them.")]
    [InlineData(""" "model_type": "gla", "use_short_conv": true, "conv_size": 0 """, "config.json: conv_size is 0; a whole number of 1 or more is needed.")]
    [InlineData(""" "model_type": "gla", "attn": { "layers": [0], "num_heads": 5 } """, "config.json: hidden_size is 32 and attn.num_heads is 5; the one must be a multiple of the other.")]
    [InlineData(""" "model_type": "gla", "attn": [{ "layers": [0], "num_heads": 4, "window_size": 0 }] """, "config.json: attn[0].window_size is 0; a whole number of 1 or more is needed.")]
    [InlineData(""" "model_type": "gla", "attn": [7] """, "config.json: attn[0] is 7; an object in braces is needed.")]
    [InlineData(""" "model_type": "gla", "attn": { "num_heads": 4 } """, "config.json: attn.layers is missing; the indices of the layers of softmax attention are needed.")]
    [InlineData(""" "model_type": "hgrn", "expand_ratio": 2 """, "config.json: expand_ratio makes 64 channels; lower bounds exist for the 32 of hidden_size, so 1 is needed.")]
    [InlineData(""" "model_type": "hgrn2", "expand_ratio": 12 """, "config.json: expand_ratio makes 2 heads of 12; lower bounds exist for the 32 channels of hidden_size, which it must divide.")]
    [InlineData(""" "model_type": "hgrn2", "expand_ratio": 64 """, "config.json: expand_ratio is 64; a width of 1 to hidden_size, 32, is needed.")]
    [InlineData(""" "model_type": "lightnet", "expand_ratio": 64 """, "config.json: expand_ratio is 64; a width of 1 to hidden_size, 32, is needed.")]
    [InlineData(""" "model_type": "gsa", "expand_v": 2 """, "config.json: expand_v makes values of 64 channels; the norm after them has hidden_size, 32, so 1 is needed.")]
    [InlineData(""" "model_type": "gsa", "feature_map": "elu" """, "config.json: feature_map is \"elu\"; known here: swish, relu, t2r.")]
    [InlineData(""" "model_type": "linear_attn", "feature_map": "taylor" """, "config.json: the feature map \"taylor\" is not known. Known: elementwise_product, hedgehog, t2r, dpfp, elu, relu, swish, identity.")]
    [InlineData(""" "model_type": "delta_net", "num_heads": 5 """, "config.json: hidden_size · expand_k is 32 and num_heads is 5; the one must be a multiple of the other.")]
    [InlineData(""" "model_type": "delta_net", "num_heads": 2, "qk_norm": "max" """, "config.json: qk_norm is \"max\"; known here: l2, sum.")]
    [InlineData(""" "model_type": "delta_net", "num_heads": 2, "qk_activation": "gelu" """, "config.json: qk_activation is \"gelu\"; known here: silu, relu, elu, identity.")]
    [InlineData(""" "model_type": "gated_deltanet", "num_heads": 4, "num_v_heads": 6, "head_dim": 8 """, "config.json: num_v_heads is 6 and num_heads is 4; the one must be a multiple of the other.")]
    [InlineData(""" "model_type": "gated_deltanet", "num_heads": 2, "head_dim": 4, "expand_v": 0.1 """, "config.json: head_dim is 4 and head_dim · expand_v is 0; both must be at least 1.")]
    [InlineData(""" "model_type": "kda", "num_heads": 2, "head_dim": 8, "lower_bound": 1 """, "config.json: lower_bound is 1; the logarithm of a decay is needed, which is negative.")]
    [InlineData(""" "model_type": "comba", "num_heads": 2, "num_v_heads": 4, "head_dim": 8 """, "config.json: num_v_heads is 4 and num_heads 2; Comba needs as many of one as of the other.")]
    [InlineData(""" "model_type": "mamba2", "norm_eps": 1e-5, "head_dim": 8, "attnres_block_size": 4 """, "config.json: attnres_block_size is set; residuals that attend over depth are not supported. Use a checkpoint without them.")]
    [InlineData(""" "model_type": "rwkv6", "num_heads": 2, "attnres_block_size": 4 """, "config.json: attnres_block_size is set; residuals that attend over depth are not supported. Use a checkpoint without them.")]
    public void A_config_that_does_not_fit_is_refused_in_one_line(string variant, string message)
    {
        Assert.Equal(message, Assert.Throws<InvalidDataException>(() => New(variant)).Message);
    }

    // With weights large enough for every layer to matter.
    private static Checkpoint Loud(string variant)
    {
        var checkpoint = New(variant);
        using var inference = no_grad();
        using var chance = new torch.Generator(3);
        foreach (var matrix in checkpoint.Model.parameters().Where(parameter => parameter.dim() >= 2)) matrix.normal_(0, 0.2, chance);
        return checkpoint;
    }

    private static Checkpoint New(string variant) =>
        Checkpoint.New("variant", ConfigJson.Parse($"{{ {Frame}, {variant} }}", "config.json"), new ByteTokenizer(), seed: 1);
}
