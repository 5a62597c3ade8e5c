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
    public void A_fixed_decay_alone_is_not_trained()
    {
        string[] kept = [.. TestModels.Families.SelectMany(family =>
        {
            using var checkpoint = TestModels.Of(family.Data);
            return checkpoint.Model.NamedParameters.Where(named => !named.Parameter.requires_grad).Select(named => $"{family.Data}: {named.Name}").ToArray();
        })];
        Assert.Equal(["HazyResearch Based: decay"], kept);
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
