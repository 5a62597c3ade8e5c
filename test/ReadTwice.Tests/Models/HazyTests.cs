using ReadTwice.Checkpoints;
using ReadTwice.Models;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace ReadTwice.Tests.Models;

/// <summary>HazyResearch's frame and mixers against their definitions, in the forms that no golden data covers.</summary>
public sealed class HazyTests : IDisposable
{
    private readonly DisposeScope scope = NewDisposeScope();

    public HazyTests() => Native.Libtorch.Threads = 1;

    public void Dispose() => scope.Dispose();

    [Fact]
    public void Attention_with_every_switch_of_its_config_gives_what_its_definition_gives()
    {
        using var checkpoint = New("""
            {
              "vocab_size": 29, "pad_vocab_size_multiple": 4, "n_embd": 24, "n_layer": 2, "n_head": 4, "n_head_kv": 2, "n_inner": 40, "n_positions": 5,
              "max_position_embeddings": 20, "layer_norm_epsilon": 0.01, "rotary_emb_fraction": 0.5, "rotary_emb_base": 50, "activation_function": "gelu_new",
              "scale_attn_by_inverse_layer_idx": true, "tie_word_embeddings": false, "lm_head_bias": true, "window_size": [6, -1], "rms_norm": false
            }
            """);
        using var inference = no_grad();
        var (w, tokens) = Drawn(checkpoint);
        var x = w["embedding.weight"].index_select(0, tokens.flatten()).view(2, 15, 24) + w["positions.weight"].narrow(0, 0, 15);
        for (int i = 0; i < 2; i++)
        {
            string b = $"blocks.{i}.";
            var qkv = linear(Plain.LayerNorm(x, w[b + "norm.weight"], w[b + "norm.bias"], 0.01), w[b + "mixer.qkv.weight"], w[b + "mixer.qkv.bias"]);
            double[] inverse = Plain.Frequencies(3, 50);   // half of a head's 6 channels
            var (q, k) = (Plain.Turned(qkv.narrow(2, 0, 24), 4, inverse), Plain.Turned(qkv.narrow(2, 24, 12), 2, inverse));
            var o = Plain.Attention(q, k, qkv.narrow(2, 36, 12), 4, 2, 1 / Math.Sqrt(6) / (i + 1), before: 6);
            x = x + linear(o, w[b + "mixer.output.weight"], w[b + "mixer.output.bias"]);
            var h = linear(Plain.LayerNorm(x, w[b + "norm2.weight"], w[b + "norm2.bias"], 0.01), w[b + "mlp.fc1.weight"], w[b + "mlp.fc1.bias"]);
            h = 0.5 * h * (1 + (Math.Sqrt(2 / Math.PI) * (h + 0.044715 * h * h * h)).tanh());
            x = x + linear(h, w[b + "mlp.fc2.weight"], w[b + "mlp.fc2.bias"]);
        }
        var logits = linear(Plain.LayerNorm(x, w["norm.weight"], w["norm.bias"], 0.01), w["head.weight"], w["head.bias"]);
        Near.Equal(logits, checkpoint.Model.forward(tokens));
        Assert.Equal(32, logits.size(2));
    }

    [Fact]
    public void Based_with_a_decay_and_layers_without_a_mixer_gives_what_its_definition_gives()
    {
        using var checkpoint = New("""
            {
              "vocab_size": 29, "n_embd": 24, "n_layer": 4, "n_head": 3, "n_inner": 48, "n_positions": 0, "rms_norm": true, "activation_function": "geglu",
              "mlp_fc1_bias": false, "mlp_fc2_bias": false, "qkv_proj_bias": false, "out_proj_bias": false, "fixed_decay": true, "decay_const": -1,
              "scale_attn_weights": false, "window_size": [2, 0], "mixer": { "_target_": "BaseConv", "use_bias": false, "kernel_size": 2, "kernel_sizes": 5 },
              "alt_mixer": { "_target_": "src.models.LinearAttention", "num_heads": 3, "feature_dim": 4, "head_dim": 5, "scale_dim": 7, "use_decay_proj": true, "feature_map": { "_target_": "TaylorExp", "input_dim": 9 } },
              "alt_mixer_layers": [1, 2], "alt_mixer_2_layers": [2, 3]
            }
            """);
        using var inference = no_grad();
        var (w, tokens) = Drawn(checkpoint);
        w["decay"].copy_(tensor(new float[] { -0.1f, -0.5f, -1f }));
        Tensor Convolution(Tensor u, string m)
        {
            var halves = linear(u, w[m + "input.weight"]).chunk(2, 2);
            return linear(silu(Plain.Filtered(halves[0], w[m + "conv.weight"])) * halves[1], w[m + "output.weight"]);
        }

        Tensor Decayed(Tensor u, string m)
        {
            var (q, k) = (linear(u, w[m + "query.weight"]).view(2, 15, 3, 4), linear(u, w[m + "key.weight"]).view(2, 15, 3, 4));
            var (v, gate) = (linear(u, w[m + "value.weight"]).view(2, 15, 3, 5), linear(u, w[m + "gate.weight"]).unsqueeze(-1));
            return linear(TaylorAttention(q, k, v, 9, (j, t) => (w["decay"] * (t - j)).exp().unsqueeze(-1), gate).flatten(2), w[m + "output.weight"]);
        }

        Tensor Attention(Tensor u, string m)
        {
            var qkv = linear(u, w[m + "qkv.weight"]).chunk(3, 2);
            return linear(Plain.Attention(qkv[0], qkv[1], qkv[2], 3, 3, 1), w[m + "output.weight"]);
        }

        Near.Equal(Framed(w, tokens, gelu, [Convolution, Decayed, Attention, Attention]), checkpoint.Model.forward(tokens));
    }

    [Fact]
    public void A_prefix_reaches_every_query_with_the_scale_that_its_mixer_asks_for()
    {
        using var checkpoint = New("""
            {
              "vocab_size": 29, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_inner": 48, "n_positions": 0, "rms_norm": true, "activation_function": "glu",
              "mlp_fc1_bias": false, "mlp_fc2_bias": false, "mixer": { "_target_": "BaseConv", "use_bias": false, "kernel_size": 2 },
              "alt_mixer": { "_target_": "PrefixLinearAttention", "num_heads": 4, "scale_dim": 5, "head_dim": 9, "enc_length": 8, "feature_map": { "_target_": "TaylorExp", "input_dim": 2 } },
              "alt_mixer_layers": [0, 1]
            }
            """);
        using var inference = no_grad();
        var (w, tokens) = Drawn(checkpoint);
        Tensor Prefixed(Tensor u, string m)
        {
            Tensor Of(string name, long from, long width) => linear(u.narrow(1, 0, from), w[m + name + ".weight"]).view(2, from, 4, width);
            var sums = (Of("prefixKey", 8, 16), Of("prefixValue", 8, 6));
            return linear(TaylorAttention(Of("query", 15, 16), Of("key", 15, 16), Of("value", 15, 6), 5, prefix: sums).flatten(2), w[m + "output.weight"]);
        }

        Near.Equal(Framed(w, tokens, x => x.sigmoid(), [Prefixed, Prefixed]), checkpoint.Model.forward(tokens));
    }

    [Fact]
    public void A_fixed_decay_alone_is_not_trained()
    {
        string[] kept = [.. TestModels.Families.SelectMany(family =>
        {
            using var checkpoint = TestModels.Of(family.Data);
            return checkpoint.Model.NamedParameters.Where(named => !named.Parameter.requires_grad).Select(named => $"{family.Data}: {named.Name}").ToArray();
        })];
        Assert.Equal(["HazyResearch Based: decay"], kept);
    }

    [Theory]
    [InlineData("model.transformer.layers.1.mixer.conv1.conv1.weight", "transformer.layers.1.mixer.conv.conv.weight")]
    [InlineData("transformer.layers.1.mixer.conv.conv1_weight", "transformer.layers.1.mixer.conv.conv_weight")]
    [InlineData("train_metrics.num-tokens.count", null)]
    public void An_older_name_is_brought_up_to_date(string name, string? expected) => Assert.Equal(expected, Hazy.Clean(name));

    [Theory]
    [InlineData("\"prenorm\": false", "config.json: prenorm is false; only true is known. Use another checkpoint.")]
    [InlineData("\"parallel_block\": true", "config.json: parallel_block is true; only false is known. Use another checkpoint.")]
    [InlineData("\"rotary_emb_interleaved\": true", "config.json: rotary_emb_interleaved is true; only false is known. Use another checkpoint.")]
    [InlineData("\"norm_head\": true", "config.json: norm_head is true; only false is known. Use another checkpoint.")]
    [InlineData("\"word_embed_proj_dim\": 12", "config.json: word_embed_proj_dim is set; only embeddings as wide as the model are known. Use another checkpoint.")]
    [InlineData("\"window_size\": [4]", "config.json: window_size holds 1 numbers; 2 are needed, the tokens seen before and after.")]
    public void What_is_not_known_is_refused_in_one_line(string key, string message)
    {
        string json = $$"""{ "n_embd": 24, "n_layer": 1, "n_head": 3, "vocab_size": 9, "rms_norm": true, {{key}} }""";
        Assert.Equal(message, Assert.Throws<InvalidDataException>(() => New(json).Dispose()).Message);
    }

    // The frame of models that normalise by RMS and have gated MLPs of 256 channels, without biases.
    private static Tensor Framed(Dictionary<string, Tensor> w, Tensor tokens, Func<Tensor, Tensor> activation, Func<Tensor, string, Tensor>[] mixers)
    {
        var x = w["embedding.weight"].index_select(0, tokens.flatten()).view(2, 15, 24);
        for (int i = 0; i < mixers.Length; i++)
        {
            string b = $"blocks.{i}.";
            x = x + mixers[i](Plain.RmsNorm(x, w[b + "norm.weight"]), b + "mixer.");
            var halves = linear(Plain.RmsNorm(x, w[b + "norm2.weight"]), w[b + "mlp.fc1.weight"]).chunk(2, 2);
            Assert.Equal(256, halves[0].size(2));
            x = x + linear(halves[0] * activation(halves[1]), w[b + "mlp.fc2.weight"]);
        }
        return linear(Plain.RmsNorm(x, w["norm.weight"]), w["embedding.weight"]);
    }

    // Token after token: the numerator's weights times fade(j, t), the whole times the gate; what stands in the prefix counts for all.
    private static Tensor TaylorAttention(
        Tensor q, Tensor k, Tensor v, double scaled, Func<int, int, Tensor>? fade = null, Tensor? gate = null, (Tensor K, Tensor V)? prefix = null)
    {
        Tensor Weight(Tensor query, Tensor key)
        {
            var a = (query * key).sum(-1, keepdim: true) / Math.Sqrt(scaled);
            return 1 + a + a * a / 2;   // [B, H, 1]
        }

        var rows = new List<Tensor>();
        for (int t = 0; t < q.size(1); t++)
        {
            var query = q.select(1, t);
            var (sum, total) = (zeros_like(v.select(1, 0)), zeros_like(query.narrow(-1, 0, 1)));
            for (int j = 0; j <= t; j++)
            {
                var weight = Weight(query, k.select(1, j));
                sum += weight * v.select(1, j) * (fade?.Invoke(j, t) ?? ones(1));
                total += weight;
            }
            for (int j = 0; prefix is { } given && j < given.K.size(1); j++)
            {
                var weight = Weight(query, given.K.select(1, j));
                sum += weight * given.V.select(1, j);
                total += weight;
            }
            rows.Add(sum / total);
        }
        var o = stack(rows, 1);
        return gate is null ? o : o * gate;
    }

    private static (Dictionary<string, Tensor> Weights, Tensor Tokens) Drawn(Checkpoint checkpoint)
    {
        var weights = checkpoint.Model.NamedParameters.ToDictionary(named => named.Name, named => (Tensor)named.Parameter);
        foreach (var weight in weights.Values) weight.normal_(0, 0.4);
        return (weights, TestModels.Tokens(checkpoint.Model, 2, 15, seed: 3));
    }

    private static Checkpoint New(string json) => Checkpoint.New("test", ConfigJson.Parse(json, "config.json"), new ByteTokenizer(), seed: 1);
}
