using ReadTwice.Checkpoints;
using ReadTwice.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Models;

/// <summary>What is particular to RWKV's published forms.</summary>
public sealed class RwkvTests
{
    [Fact]
    public void Six_shares_stored_as_one_become_six()
    {
        using var scope = NewDisposeScope();
        var stored = arange(24).to(ScalarType.Float32).view(6, 4);
        var tensors = new Dictionary<string, Tensor> { ["model.layers.2.attn.x_x"] = stored };
        Rwkv7.FlaOrg.Adapt!(Config("{}"), tensors);
        Assert.Equal(6, tensors.Count);
        for (int i = 0; i < 6; i++)
        {
            var share = tensors[$"model.layers.2.attn.x_{"rwkvag"[i]}"];
            Assert.Equal([1, 1, 4], share.shape);
            Near.Equal(stored[i], share.flatten(), tolerance: 0);
        }
    }

    [Fact]
    public void Softmax_layers_in_RWKV_7_are_refused()
    {
        var error = Refused("""{ "model_type": "rwkv7", "hidden_size": 32, "num_hidden_layers": 1, "attn": { "layers": [0], "num_heads": 2 } }""");
        Assert.StartsWith("config.json: attn asks for softmax attention", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{ "model_type": "rwkv7", "hidden_size": 32, "head_dim": 12 }""", "hidden_size is 32 and head_dim is 12")]
    [InlineData("""{ "model_type": "rwkv7", "hidden_size": 32, "head_dim": 8, "value_dim": [32] }""", "value_dim holds 32")]
    [InlineData("""{ "model_type": "rwkv6", "hidden_size": 32, "num_heads": 3 }""", "hidden_size · expand_k is 16 and num_heads is 3")]
    [InlineData("""{ "my_testing": "x060", "n_embd": 32, "head_size": 5 }""", "emb.weight is 32 wide and a head 5")]
    public void Sizes_that_do_not_divide_are_refused(string config, string expected)
    {
        Assert.Contains(expected, Refused(config), StringComparison.Ordinal);
    }

    [Fact]
    public void A_head_count_left_from_a_conversion_is_not_used()
    {
        using var checkpoint = Checkpoint.New(
            "small", Config("""{ "model_type": "rwkv7", "hidden_size": 32, "num_hidden_layers": 1, "vocab_size": 9, "head_dim": 8, "num_heads": 32 }"""), new ByteTokenizer(), 1);
        using var state = checkpoint.Model.NewState();
        Assert.Equal([1, 4, 8, 8], state[0]["recurrent"].shape);
    }

    [Fact]
    public void Rescaling_leaves_the_function_as_it_is_but_for_the_norms_epsilon()
    {
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        Checkpoint New(int every)
        {
            string json = $$"""{ "model_type": "rwkv", "hidden_size": 24, "num_hidden_layers": 4, "vocab_size": 50, "layer_norm_epsilon": 0, "rescale_every": {{every}} }""";
            return Checkpoint.New("small", Config(json), new ByteTokenizer(), 1);
        }

        using Checkpoint plain = New(0), rescaled = New(1);
        foreach (var (to, from) in rescaled.Model.parameters().Zip(plain.Model.parameters())) to.copy_(from);
        var tokens = TestModels.Tokens(plain.Model, 1, 12, seed: 2);
        Tensor expected = plain.Model.forward(tokens), logits = rescaled.Model.forward(tokens);
        Near.Equal(expected, logits, tolerance: 1e-3);
        Assert.True((expected - logits).abs().max().item<float>() > 0, "rescaling has no effect at all");
    }

    [Fact]
    public void Layers_start_with_shares_of_the_token_that_grow_with_depth()
    {
        using var scope = NewDisposeScope();
        using var checkpoint = Checkpoint.New("small", Config("""{ "model_type": "rwkv", "hidden_size": 8, "num_hidden_layers": 4, "vocab_size": 9 }"""), new ByteTokenizer(), 1);
        var weights = checkpoint.Model.NamedParameters.ToDictionary(named => named.Name, named => named.Parameter);
        for (int i = 0; i < 4; i++)
        {
            Tensor Power(double power) => (arange(8).to(ScalarType.Float32) / 8).pow(power).view(1, 1, 8);
            double r0 = 1 - i / 4.0, r1 = i / 3.0;
            string mixer = $"blocks.{i}.mixer.", channels = $"blocks.{i}.channelMix.";
            Near.Equal(Power(r0), weights[mixer + "keyMix"]);
            Near.Equal(Power(r0) + 0.3 * r1, weights[mixer + "valueMix"]);
            Near.Equal(Power(r0 / 2), weights[mixer + "receptanceMix"]);
            Near.Equal(Power(r0), weights[channels + "keyMix"]);
            Near.Equal(Power(r0), weights[channels + "receptanceMix"]);
            Near.Equal(-5 + 8 * (arange(8).to(ScalarType.Float32) / 7).pow(0.7 + 1.3 * r1), weights[mixer + "decay"]);
        }
    }

    private static ConfigJson Config(string json) => ConfigJson.Parse(json, "config.json");

    private static string Refused(string json) =>
        Assert.Throws<InvalidDataException>(() => Checkpoint.New("small", Config(json), new ByteTokenizer(), 1).Dispose()).Message;
}
