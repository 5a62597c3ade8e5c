using ReadTwice.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace ReadTwice.Tests.Models;

/// <summary>State spaces with a state of each channel, and their hybrids, against their definitions in the forms that no golden data covers.</summary>
public sealed class StateSpaceTests : IDisposable
{
    private readonly DisposeScope scope = NewDisposeScope();

    public StateSpaceTests() => Native.Libtorch.Threads = 1;

    public void Dispose() => scope.Dispose();

    [Fact]
    public void A_hybrid_of_Mamba_and_attention_gives_what_its_definition_gives()
    {
        using var checkpoint = New("""
            {
              "d_model": 24, "n_layer": 2, "vocab_size": 29, "rms_norm": false, "d_intermediate": 20, "tie_embeddings": false, "attn_layer_idx": [1],
              "ssm_cfg": { "d_state": 4, "d_conv": 3, "expand": 1, "dt_rank": 5, "conv_bias": false, "bias": true },
              "attn_cfg": {
                "num_heads": 4, "num_heads_kv": 2, "head_dim": 5, "causal": true, "d_conv": 3, "rotary_emb_dim": 3, "rotary_emb_base": 50, "mlp_dim": 10,
                "softmax_scale": 0.3, "out_proj_bias": false
              }
            }
            """);
        using var inference = no_grad();
        var (w, tokens) = Drawn(checkpoint);
        var x = w["embedding.weight"].index_select(0, tokens.flatten()).view(2, 15, 24);
        for (int i = 0; i < 2; i++)
        {
            string b = $"blocks.{i}.";
            var u = Plain.LayerNorm(x, w[b + "norm.weight"], w[b + "norm.bias"]);
            x = x + (i == 0 ? Plain.Mamba(w, b + "mixer.", u, 4, 5, y => silu(y)) : Attention(w, b + "mixer.", u));
            var halves = linear(Plain.LayerNorm(x, w[b + "norm2.weight"], w[b + "norm2.bias"]), w[b + "mlp.fc1.weight"]).chunk(2, 2);
            Assert.Equal(128, halves[0].size(2));
            x = x + linear(halves[0] * silu(halves[1]), w[b + "mlp.fc2.weight"]);
        }
        var logits = linear(Plain.LayerNorm(x, w["norm.weight"], w["norm.bias"]), w["head.weight"]);
        Near.Equal(logits, checkpoint.Model.forward(tokens));
        Assert.Equal(32, logits.size(2));
    }

    [Fact]
    public void Falcon_Mamba_with_another_width_and_nonlinearity_gives_what_its_definition_gives()
    {
        using var checkpoint = New("""
            {
              "model_type": "falcon_mamba", "hidden_size": 24, "num_hidden_layers": 1, "vocab_size": 29, "expand": 16, "intermediate_size": 20, "state_size": 4,
              "time_step_rank": 3, "conv_kernel": 2, "use_bias": true, "use_conv_bias": false, "hidden_act": "gelu", "mixer_rms_eps": 0.1, "layer_norm_epsilon": 0.01
            }
            """);
        using var inference = no_grad();
        var (w, tokens) = Drawn(checkpoint);
        var x = w["embedding.weight"].index_select(0, tokens.flatten()).view(2, 15, 24);
        x = x + Plain.Mamba(w, "blocks.0.mixer.", Plain.RmsNorm(x, w["blocks.0.norm.weight"], 0.01), 4, 3, gelu, (part, _) => Plain.RmsNorm(part, ones(1), 0.1));
        Near.Equal(linear(Plain.RmsNorm(x, w["norm.weight"], 0.01), w["embedding.weight"]), checkpoint.Model.forward(tokens));
    }

    [Fact]
    public void Longhorn_with_biases_gives_what_its_definition_gives()
    {
        using var checkpoint = New("""
            {
              "d_model": 24, "n_layer": 1, "vocab_size": 32, "rms_norm": false,
              "ssm_cfg": { "layer": "Longhorn", "d_state": 4, "d_conv": 3, "expand": 1, "dt_rank": 5, "conv_bias": false, "bias": true }
            }
            """);
        using var inference = no_grad();
        var (w, tokens) = Drawn(checkpoint);
        const string M = "blocks.0.mixer.";
        var x = w["embedding.weight"].index_select(0, tokens.flatten()).view(2, 15, 24);
        var halves = linear(Plain.LayerNorm(x, w["blocks.0.norm.weight"], w["blocks.0.norm.bias"]), w[M + "in_proj.weight"]).chunk(2, 2);   // whose bias is never added
        var c = silu(Plain.Filtered(halves[0], w[M + "conv1d.weight"]));
        var parts = linear(c, w[M + "x_proj.weight"]).split([5, 4, 4], 2);
        var (beta, k, q) = (linear(parts[0], w[M + "dt_head.weight"], w[M + "dt_head.bias"]).sigmoid(), parts[1], parts[2]);
        var e = beta / (1 + beta * (k * k).sum(2, keepdim: true));
        var y = Plain.Scanned(
            t => 1 - e.select(1, t).unsqueeze(2) * k.select(1, t).square().unsqueeze(1), t => (e * c).select(1, t).unsqueeze(2) * k.select(1, t).unsqueeze(1), q);
        x = x + linear((y + c * w[M + "D"]) * silu(halves[1]), w[M + "out_proj.weight"], w[M + "out_proj.bias"]);
        Near.Equal(linear(Plain.LayerNorm(x, w["norm.weight"], w["norm.bias"]), w["embedding.weight"]), checkpoint.Model.forward(tokens));
    }

    [Fact]
    public void RecurrentGemma_of_other_widths_gives_what_its_definition_gives()
    {
        using var checkpoint = New("""
            {
              "model_type": "recurrent_gemma", "hidden_size": 24, "num_hidden_layers": 2, "vocab_size": 29, "intermediate_size": 20, "num_attention_heads": 4,
              "num_key_value_heads": null, "lru_width": 12, "conv1d_width": 2, "attention_window_size": 5, "block_types": ["attention", "recurrent"],
              "hidden_activation": "relu", "attention_bias": true, "logits_soft_cap": 2, "rms_norm_eps": 0.01, "rope_theta": 50, "tie_word_embeddings": false
            }
            """);
        using var inference = no_grad();
        var (w, tokens) = Drawn(checkpoint);
        Tensor Linear(Tensor u, string name) => linear(u, w[name + ".weight"], w[name + ".bias"]);
        Tensor Norm(Tensor u, string name) => Plain.RmsNorm(u, 1 + w[name + ".weight"], 0.01);
        var x = w["embedding.weight"].index_select(0, tokens.flatten()).view(2, 15, 24) * 4.90625;   // √24 in bfloat16
        for (int i = 0; i < 2; i++)
        {
            string b = $"blocks.{i}.", m = b + "mixer.";
            var u = Norm(x, b + "norm");
            double[] inverse = Plain.Frequencies(3, 50);
            x = x + (i == 0
                ? Linear(Plain.Attention(
                    Plain.Turned(Linear(u, m + "q_proj"), 4, inverse), Plain.Turned(Linear(u, m + "k_proj"), 4, inverse), Linear(u, m + "v_proj"),
                    4, 4, 1 / Math.Sqrt(6), before: 4), m + "o_proj")
                : Linear(Recurrence(Plain.Filtered(Linear(u, m + "linear_x"), w[m + "conv_1d.weight"], w[m + "conv_1d.bias"]), w, m + "rg_lru.") *
                    relu(Linear(u, m + "linear_y")), m + "linear_out"));
            u = Norm(x, b + "norm2");
            x = x + Linear(relu(Linear(u, b + "mlp.gate_proj")) * Linear(u, b + "mlp.up_proj"), b + "mlp.down_proj");
        }
        Near.Equal((linear(Norm(x, "norm"), w["head.weight"]) / 2).tanh() * 2, checkpoint.Model.forward(tokens));
    }

    private static Tensor Attention(Dictionary<string, Tensor> w, string m, Tensor u)
    {
        var all = linear(u, w[m + "in_proj.weight"], w[m + "in_proj.bias"]);
        var qkv = Plain.Filtered(all.narrow(2, 0, 40), w[m + "conv1d.weight"], w[m + "conv1d.bias"]);
        double[] inverse = Plain.Frequencies(3, 50);   // an odd width turns a channel more
        var o = Plain.Attention(
            Plain.Turned(qkv.narrow(2, 0, 20), 4, inverse), Plain.Turned(qkv.narrow(2, 20, 10), 2, inverse), qkv.narrow(2, 30, 10), 4, 2, 0.3);
        Assert.Equal(40 + 256, all.size(2));
        return linear(cat([o, all.narrow(2, 40, 128) * silu(all.narrow(2, 168, 128))], 2), w[m + "out_proj.weight"]);
    }

    private static Tensor Recurrence(Tensor x, Dictionary<string, Tensor> w, string m)
    {
        Tensor Gate(string name) => cat([.. x.chunk(4, 2).Select((block, h) =>
            (block.unsqueeze(3) * w[m + name + "_weight"][h]).sum(2) + w[m + name + "_bias"][h])], 2).sigmoid();
        var logA = -8 * Gate("recurrent_gate") * softplus(w[m + "recurrent_param"]);
        var b = x * Gate("input_gate");
        var h = b.select(1, 0);   // the first token enters whole
        var rows = new List<Tensor> { h };
        for (long t = 1; t < x.size(1); t++)
        {
            var a = logA.select(1, t).exp();
            rows.Add(h = a * h + b.select(1, t) * (1 - a * a).sqrt());
        }
        return stack(rows, 1);
    }

    private static (Dictionary<string, Tensor> Weights, Tensor Tokens) Drawn(Checkpoint checkpoint)
    {
        var weights = checkpoint.Model.NamedParameters.ToDictionary(named => named.Name, named => (Tensor)named.Parameter);
        foreach (var weight in weights.Values) weight.normal_(0, 0.4);
        return (weights, TestModels.Tokens(checkpoint.Model, 2, 15, seed: 3));
    }

    private static Checkpoint New(string json) => Checkpoint.New("test", ConfigJson.Parse(json, "config.json"), new ByteTokenizer(), seed: 1);
}
