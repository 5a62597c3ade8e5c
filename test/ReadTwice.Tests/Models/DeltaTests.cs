using ReadTwice.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Models;

/// <summary>What the configs of RWKV and of the delta rule's models can ask for, beyond what their examples do.</summary>
public sealed class DeltaTests : IDisposable
{
    private const string Frame = "\"hidden_size\": 32, \"num_hidden_layers\": 2, \"intermediate_size\": 40, \"vocab_size\": 96";

    private readonly DisposeScope scope = NewDisposeScope();

    public DeltaTests() => Native.Libtorch.Threads = 1;

    public static TheoryData<string> Variants =>
    [
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
        using var checkpoint = New(variant);
        using var inference = no_grad();
        var model = checkpoint.Model;
        foreach (var matrix in model.parameters().Where(parameter => parameter.dim() >= 2)) matrix.normal_(0, 0.2);
        var tokens = TestModels.Tokens(model, 2, 70, seed: 21);
        using RecurrentState whole = model.NewState(2, new([0, 3])), stepped = model.NewState(2, new([0, 3]));
        var expected = model.Prefill(tokens, whole);
        var logits = model.Prefill(tokens.narrow(1, 0, 5), stepped);
        for (long t = 5; t < 70; t++) logits = model.Step(tokens.select(1, t), stepped);
        Near.Equal(expected, logits);
        Near.Equal(whole, stepped);
        using var alone = model.NewState();
        Near.Equal(expected.narrow(0, 1, 1), model.Prefill(tokens.narrow(0, 1, 1).narrow(1, 3, 67), alone), because: "a padded row");
    }

    [Theory]
    [InlineData(""" "model_type": "delta_net", "num_heads": 5 """, "config.json: hidden_size · expand_k is 32 and num_heads is 5; the one must be a multiple of the other.")]
    [InlineData(""" "model_type": "delta_net", "num_heads": 2, "qk_norm": "max" """, "config.json: qk_norm is \"max\"; known here: l2, sum.")]
    [InlineData(""" "model_type": "delta_net", "num_heads": 2, "qk_activation": "gelu" """, "config.json: qk_activation is \"gelu\"; known here: silu, relu, elu, identity.")]
    [InlineData(""" "model_type": "gated_deltanet", "num_heads": 4, "num_v_heads": 6, "head_dim": 8 """, "config.json: num_v_heads is 6 and num_heads is 4; the one must be a multiple of the other.")]
    [InlineData(""" "model_type": "gated_deltanet", "num_heads": 2, "head_dim": 4, "expand_v": 0.1 """, "config.json: head_dim is 4 and head_dim · expand_v is 0; both must be at least 1.")]
    [InlineData(""" "model_type": "kda", "num_heads": 2, "head_dim": 8, "lower_bound": 1 """, "config.json: lower_bound is 1; the logarithm of a decay is needed, which is negative.")]
    [InlineData(""" "model_type": "comba", "num_heads": 2, "num_v_heads": 4, "head_dim": 8 """, "config.json: num_v_heads is 4 and num_heads 2; Comba needs as many of one as of the other.")]
    [InlineData(""" "model_type": "rwkv6", "num_heads": 2, "attnres_block_size": 4 """, "config.json: attnres_block_size is set; residuals that attend over depth are not supported. Use a checkpoint without them.")]
    public void A_config_that_does_not_fit_is_refused_in_one_line(string variant, string message)
    {
        Assert.Equal(message, Assert.Throws<InvalidDataException>(() => New(variant)).Message);
    }

    private static Checkpoint New(string variant) =>
        Checkpoint.New("variant", ConfigJson.Parse($"{{ {Frame}, {variant} }}", "config.json"), new ByteTokenizer(), seed: 1);
}
