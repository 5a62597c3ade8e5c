using ReadTwice.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Models;

/// <summary>State spaces and their hybrids: what a config may say, and what it may not.</summary>
public sealed class HybridTests : IDisposable
{
    private readonly DisposeScope scope = NewDisposeScope();

    public HybridTests() => Native.Libtorch.Threads = 1;

    public void Dispose() => scope.Dispose();

    [Theory]
    [InlineData("""{ "model_type": "mamba2", "hidden_size": 24, "num_heads": 5, "head_dim": 8 }""", "5 heads of 8 channels make 40; expand · hidden_size = 48 is needed")]
    [InlineData("""{ "model_type": "mamba2", "hidden_size": 24, "num_heads": 6, "head_dim": 8, "n_groups": 4 }""", "6 heads do not divide into 4 groups")]
    [InlineData("""{ "model_type": "mamba2", "hidden_size": 24, "num_heads": 6, "head_dim": 8, "n_groups": 0 }""", "n_groups is 0; a whole number of 1 or more is needed")]
    [InlineData("""{ "model_type": "mamba2", "hidden_size": 24, "num_heads": 6, "head_dim": 8, "n_groups": 1, "time_step_limit": [1] }""", "time_step_limit is [1]")]
    [InlineData("""{ "model_type": "mamba2", "norm_eps": 1e-5, "hidden_size": 24, "head_dim": 7 }""", "48 inner channels do not divide into 7 channels (head_dim)")]
    [InlineData("""{ "d_model": 24, "n_layer": 1, "ssm_cfg": { "layer": "Mamba2", "headdim": 8, "d_ssm": 64 } }""", "d_ssm is 64; at most expand · d_model = 48 is possible")]
    [InlineData("""{ "d_model": 24, "n_layer": 1, "attn_layer_idx": [0], "attn_cfg": { "num_heads": 3, "causal": true, "rotary_emb_interleaved": true } }""", "rotary_emb_interleaved is true")]
    [InlineData("""{ "model_type": "jamba", "hidden_size": 24, "num_hidden_layers": 2, "num_experts": 2, "num_experts_per_tok": 3 }""", "3 experts a token are to be chosen of 2")]
    [InlineData("""{ "model_type": "jamba", "hidden_size": 24, "num_hidden_layers": 2, "attn_layer_period": 0 }""", "attn_layer_period is 0")]
    [InlineData("""{ "model_type": "bamba", "hidden_size": 24, "num_attention_heads": 5 }""", "24 channels (hidden_size) do not divide into 5 heads")]
    [InlineData("""{ "model_type": "bamba", "hidden_size": 24, "num_attention_heads": 3, "mamba_n_heads": 6, "mamba_d_head": 9 }""", "mamba_d_head is 9; 48 inner channels in 6 heads need 8")]
    [InlineData("""{ "model_type": "falcon_h1", "hidden_size": 24, "num_attention_heads": 3, "mamba_d_ssm": 48, "mamba_n_heads": 6, "ssm_multipliers": [1, 2] }""", "ssm_multipliers holds 2 numbers; 5 are needed")]
    [InlineData("""{ "model_type": "recurrent_gemma", "hidden_size": 24, "num_attention_heads": 3, "lru_width": 25, "intermediate_size": 32 }""", "25 channels (lru_width) do not divide into 3 blocks")]
    [InlineData("""{ "model_type": "recurrent_gemma", "hidden_size": 24, "num_attention_heads": 3, "block_types": ["convolution"], "intermediate_size": 32 }""", "block_types names \"convolution\"")]
    [InlineData("""{ "model_type": "recurrent_gemma", "hidden_size": 24, "num_attention_heads": 3, "block_types": ["attention"], "attention_window_size": 0, "intermediate_size": 32 }""", "attention_window_size is 0")]
    public void Sizes_that_do_not_fit_are_refused_in_one_line(string json, string problem)
    {
        var error = Assert.Throws<InvalidDataException>(() => New(json).Dispose());
        Assert.Contains(problem, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void A_config_without_sizes_of_heads_takes_the_sizes_that_fit()
    {
        using var bamba = New("""{ "model_type": "bamba", "hidden_size": 24, "num_hidden_layers": 1, "vocab_size": 8, "num_attention_heads": 8, "mamba_n_heads": 6, "mamba_d_head": "auto" }""");
        using var falcon = New("""{ "model_type": "falcon_h1", "hidden_size": 24, "num_hidden_layers": 1, "vocab_size": 8, "num_attention_heads": 8, "mamba_d_ssm": null, "mamba_n_heads": 6 }""");
        using var bambaState = bamba.Model.NewState();
        using var falconState = falcon.Model.NewState();
        Assert.Equal([1, 6, 256, 8], bambaState[0]["ssm"].shape);
        Assert.Equal([1, 6, 256, 8], falconState[0]["ssm"].shape);
    }

    [Theory]
    [InlineData("""{ "model_type": "jamba", "hidden_size": 64, "num_hidden_layers": 1, "vocab_size": 8, "num_attention_heads": 16, "attn_layer_offset": 0, KEYS }""")]
    [InlineData("""{ "model_type": "bamba", "hidden_size": 64, "num_hidden_layers": 1, "vocab_size": 8, "num_attention_heads": 16, "attn_layer_indices": [0], KEYS }""")]
    [InlineData("""{ "model_type": "falcon_h1", "hidden_size": 64, "num_hidden_layers": 1, "vocab_size": 8, "num_attention_heads": 16, KEYS }""")]
    public void Key_heads_that_are_null_are_as_many_as_queries_and_eight_where_nothing_is_said(string json)
    {
        foreach (var (keys, expected) in (ReadOnlySpan<(string, long)>)[("\"num_key_value_heads\": null", 16), ("\"use_cache\": true", 8)])
        {
            using var checkpoint = New(json.Replace("KEYS", keys, StringComparison.Ordinal));
            using var state = checkpoint.Model.NewState();
            Assert.Equal([1, expected, 0, 4], state[0]["key"].shape);
        }
    }

    [Fact]
    public void Falcon_H1_without_a_width_of_its_state_space_has_the_published_one()
    {
        using var checkpoint = New("""{ "model_type": "falcon_h1", "hidden_size": 24, "num_hidden_layers": 1, "vocab_size": 8, "num_attention_heads": 8 }""");
        using var state = checkpoint.Model.NewState();
        Assert.Equal([1, 128, 256, 8], state[0]["ssm"].shape);   // 1024 channels in 128 heads
    }

    [Theory]
    [InlineData("\"rms_norm\": true, \"time_step_limit\": [0.0, Infinity]", 1)]
    [InlineData("\"rmsnorm\": true, \"dt_limit\": [0.0, Infinity]", 2)]
    [InlineData("\"norm_before_gate\": false", 2)]
    public void An_older_file_of_fla_is_normalised_without_groups(string keys, int groups)
    {
        using var checkpoint = New($$"""{ "model_type": "mamba2", "norm_eps": 1e-5, "hidden_size": 16, "num_hidden_layers": 1, "vocab_size": 8, "state_size": 4, "head_dim": 8, "n_groups": 2, {{keys}} }""");
        var norm = checkpoint.Model.Blocks[0].named_modules().Single(entry => entry.name == "mixer.norm").module;
        var y = ((nn.Module<Tensor, Tensor>)norm).call(cat([ones(1, 1, 16), full([1, 1, 16], 3f)], 2));
        Assert.Equal(groups == 2 ? 1 : Math.Sqrt(1 / 5.0), y[0, 0, 0].item<float>(), 1e-5);
    }

    [Fact]
    public void A_token_sees_a_window_of_the_size_that_RecurrentGemma_asks_for()
    {
        using var checkpoint = New("""
            { "model_type": "recurrent_gemma", "hidden_size": 24, "num_hidden_layers": 1, "vocab_size": 96, "intermediate_size": 64, "num_attention_heads": 3,
              "block_types": ["attention"], "attention_window_size": 5 }
            """);
        using var inference = no_grad();
        foreach (var parameter in checkpoint.Model.parameters()) parameter.normal_(0, 0.3);
        var tokens = TestModels.Tokens(checkpoint.Model, 1, 20, seed: 1);
        var changed = tokens.clone();
        changed[0, 3] = (changed[0, 3] + 1) % 96;
        var difference = (checkpoint.Model.forward(tokens) - checkpoint.Model.forward(changed)).abs().amax([0, 2]);
        Assert.True(difference[7].item<float>() > 1e-4, "the window's first token is not seen");
        Assert.True(difference[8].item<float>() == 0, "a token before the window is seen");
    }

    private static Checkpoint New(string json) => Checkpoint.New("test", ConfigJson.Parse(json, "config.json"), new ByteTokenizer(), seed: 1);
}
