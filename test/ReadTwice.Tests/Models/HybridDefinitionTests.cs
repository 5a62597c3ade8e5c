using ReadTwice.Checkpoints;
using ReadTwice.Models;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace ReadTwice.Tests.Models;

/// <summary>Mamba-2 and the hybrids, from their configs, against their definitions in the forms that no golden data covers.</summary>
public sealed class HybridDefinitionTests : IDisposable
{
    private readonly DisposeScope scope = NewDisposeScope();

    public HybridDefinitionTests() => Native.Libtorch.Threads = 1;

    public void Dispose() => scope.Dispose();

    [Fact]
    public void Falcon_H1_with_every_switch_gives_what_its_definition_gives()
    {
        using var checkpoint = New("""
            {
              "model_type": "falcon_h1", "hidden_size": 24, "num_hidden_layers": 1, "vocab_size": 29, "intermediate_size": 20, "num_attention_heads": 4,
              "num_key_value_heads": 2, "head_dim": 8, "attention_bias": true, "mlp_bias": true, "rms_norm_eps": 0.01, "rope_theta": 50, "tie_word_embeddings": true,
              "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_n_groups": 2, "mamba_d_state": 5, "mamba_d_conv": 3, "mamba_conv_bias": false, "mamba_proj_bias": true,
              "projectors_bias": true, "mamba_rms_norm": true, "mamba_norm_before_gate": false, "embedding_multiplier": 2.5, "lm_head_multiplier": 0.6,
              "key_multiplier": 0.5, "attention_in_multiplier": 1.2, "attention_out_multiplier": 0.8, "ssm_in_multiplier": 1.25, "ssm_out_multiplier": 0.4,
              "ssm_multipliers": [0.7, 0.9, 0.8, 1.1, 0.6], "mlp_multipliers": [0.9, 0.7]
            }
            """);
        using var inference = no_grad();
        var (w, tokens) = Drawn(checkpoint);
        Tensor Linear(Tensor u, string name) => linear(u, w[name + ".weight"], w[name + ".bias"]);
        var mamba = new Mamba2Config(24, 4, 8, 2, 5)
        {
            Taps = 3,
            ConvBias = false,
            InputBias = true,
            OutputBias = true,
            NormGroups = 2,
            NormEpsilon = 0.01,
            Factors = [0.7, 0.9, 0.8, 1.1, 0.6],
        };

        var x = Embedded(checkpoint, tokens) * 2.5;
        var n = Plain.RmsNorm(x, w["norm.weight"], 0.01);
        double[] inverse = Plain.Frequencies(8, 50);
        var o = Plain.Attention(
            Plain.Turned(Linear(n * 1.2, "mixer.attention.q"), 4, inverse), Plain.Turned(Linear(n * 1.2, "mixer.attention.k") * 0.5, 2, inverse),
            Linear(n * 1.2, "mixer.attention.v"), 4, 2, 1 / Math.Sqrt(8));
        x = x + 0.4 * Plain.Mamba2(mamba, Part(w, "mixer.mamba."), n * 1.25) + 0.8 * Linear(o, "mixer.attention.output");
        var m = Plain.RmsNorm(x, w["norm2.weight"], 0.01);
        x = x + 0.7 * Linear(Linear(m, "mlp.up") * silu(0.9 * Linear(m, "mlp.gate")), "mlp.down");
        Near.Equal(Logits(checkpoint, x, 0.01) * 0.6, checkpoint.Model.forward(tokens));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Bamba_with_groups_and_biases_gives_what_its_definition_gives(bool attends)
    {
        using var checkpoint = New($$"""
            {
              "model_type": "bamba", "hidden_size": 24, "num_hidden_layers": 1, "vocab_size": 29, "intermediate_size": 20, "num_attention_heads": 4,
              "num_key_value_heads": 2, "head_dim": 6, "attention_bias": true, "mlp_bias": true, "rms_norm_eps": 0.01, "attn_layer_indices": [{{(attends ? 0 : 1)}}],
              "mamba_expand": 1, "mamba_n_heads": 4, "mamba_d_head": 6, "mamba_n_groups": 2, "mamba_d_state": 5, "mamba_d_conv": 2, "mamba_proj_bias": true
            }
            """);
        using var inference = no_grad();
        var (w, tokens) = Drawn(checkpoint);
        Tensor Linear(Tensor u, string name) => linear(u, w[name + ".weight"], w[name + ".bias"]);
        var x = Embedded(checkpoint, tokens);
        var n = Plain.RmsNorm(x, w["norm.weight"], 0.01);
        double[] inverse = Plain.Frequencies(3);   // half of a head's 6 channels
        x = x + (attends
            ? Linear(Plain.Attention(
                Plain.Turned(Linear(n, "mixer.q"), 4, inverse), Plain.Turned(Linear(n, "mixer.k"), 2, inverse), Linear(n, "mixer.v"), 4, 2, 1 / Math.Sqrt(6)), "mixer.output")
            : Plain.Mamba2(new(24, 4, 6, 2, 5) { Taps = 2, NormEpsilon = 0.01 }, Part(w, "mixer."), n));
        var m = Plain.RmsNorm(x, w["norm2.weight"], 0.01);
        x = x + Linear(Linear(m, "mlp.up") * silu(Linear(m, "mlp.gate")), "mlp.down");
        Near.Equal(Logits(checkpoint, x, 0.01), checkpoint.Model.forward(tokens));
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 0)]
    public void Jamba_with_experts_gives_what_its_definition_gives(int attentionOffset, int expertOffset)
    {
        using var checkpoint = New($$"""
            {
              "model_type": "jamba", "hidden_size": 24, "num_hidden_layers": 1, "vocab_size": 29, "intermediate_size": 20, "num_attention_heads": 4,
              "num_key_value_heads": 1, "rms_norm_eps": 0.01, "attn_layer_period": 2, "attn_layer_offset": {{attentionOffset}}, "expert_layer_period": 3,
              "expert_layer_offset": {{expertOffset}}, "num_experts": 3, "num_experts_per_tok": 2, "mamba_d_state": 5, "mamba_d_conv": 2, "mamba_expand": 1,
              "mamba_dt_rank": 3, "mamba_conv_bias": false, "mamba_proj_bias": true, "hidden_act": "gelu"
            }
            """);
        using var inference = no_grad();
        var (w, tokens) = Drawn(checkpoint);
        var x = Embedded(checkpoint, tokens);
        var n = Plain.RmsNorm(x, w["norm.weight"], 0.01);
        Tensor Of(string name) => linear(n, w[$"mixer.{name}.weight"]);
        x = x + (attentionOffset == 0
            ? linear(Plain.Attention(Of("q"), Of("k"), Of("v"), 4, 1, 1 / Math.Sqrt(6)), w["mixer.output.weight"])
            : Plain.Mamba(
                checkpoint.Model.NamedParameters.ToDictionary(named => named.Name, named => (Tensor)named.Parameter), "blocks.0.mamba.", n, 5, 3, gelu,
                (part, name) => Plain.RmsNorm(part, checkpoint.Model.NamedParameters.Single(named => named.Name == $"blocks.0.mamba.{name}.weight").Parameter, 0.01)));
        var m = Plain.RmsNorm(x, w["norm2.weight"], 0.01);
        Tensor Mlp(Tensor u, string at) => linear(gelu(linear(u, w[at + "gate.weight"])) * linear(u, w[at + "up.weight"]), w[at + "down.weight"]);
        if (expertOffset == 0)
        {
            var shares = linear(m, w["mlp.router.weight"]).softmax(-1);
            var least = shares.amin([2], keepdim: true);   // two of three are chosen: all but the least
            shares = shares.masked_fill(shares.eq(least), 0);
            for (int e = 0; e < 3; e++) x = x + shares.narrow(2, e, 1) * Mlp(m, $"mlp.experts.{e}.");
        }
        else x = x + Mlp(m, "mlp.");
        Near.Equal(Logits(checkpoint, x, 0.01), checkpoint.Model.forward(tokens));
    }

    [Theory]
    [InlineData("\"ngroups\": 2, \"norm_before_gate\": true, \"bias\": true, \"d_conv\": 2", 4, 2, true)]
    [InlineData("\"d_ssm\": 18, \"rmsnorm\": false, \"D_has_hdim\": true, \"conv_bias\": false, \"dt_limit\": [0.5, 0.8]", 3, 0, false)]
    public void Mamba_2_of_state_spaces_gives_what_its_definition_gives(string keys, int H, int normGroups, bool plainSteps)
    {
        using var checkpoint = New($$"""
            { "d_model": 24, "n_layer": 1, "vocab_size": 32, "ssm_cfg": { "layer": "Mamba2", "d_state": 5, "headdim": 6, "expand": 1, {{keys}} } }
            """);
        using var inference = no_grad();
        var (w, tokens) = Drawn(checkpoint);
        var config = new Mamba2Config(24, H, 6, Math.Max(1, normGroups), 5)
        {
            Taps = plainSteps ? 2 : 4,
            NormGroups = normGroups,
            NormBeforeGate = plainSteps,
            MlpWidth = 24 - 6 * H,
            Steps = plainSteps ? (0, double.PositiveInfinity) : (0.5, 0.8),
        };
        Assert.Equal(plainSteps ? 4 : 18, w["mixer.skip"].size(0));
        var x = Embedded(checkpoint, tokens);
        x = x + Plain.Mamba2(config, Part(w, "mixer."), Plain.RmsNorm(x, w["norm.weight"]));
        Near.Equal(Logits(checkpoint, x, 1e-5), checkpoint.Model.forward(tokens));
    }

    private static Dictionary<string, Tensor> Part(Dictionary<string, Tensor> w, string name) =>
        w.Where(entry => entry.Key.StartsWith(name, StringComparison.Ordinal)).ToDictionary(entry => entry.Key[name.Length..], entry => entry.Value);

    private static Parameter Of(Checkpoint checkpoint, string name) => checkpoint.Model.NamedParameters.Single(named => named.Name == name).Parameter;

    private static Tensor Embedded(Checkpoint checkpoint, Tensor tokens) => Of(checkpoint, "embedding.weight").index_select(0, tokens.flatten()).view(2, 11, 24);

    private static Tensor Logits(Checkpoint checkpoint, Tensor x, double epsilon)
    {
        bool tied = checkpoint.Model.NamedParameters.All(named => named.Name != "head.weight");
        return linear(Plain.RmsNorm(x, Of(checkpoint, "norm.weight"), epsilon), Of(checkpoint, tied ? "embedding.weight" : "head.weight"));
    }

    // The parameters of the only block, by its own names.
    private static (Dictionary<string, Tensor> Weights, Tensor Tokens) Drawn(Checkpoint checkpoint)
    {
        foreach (var (_, parameter) in checkpoint.Model.NamedParameters) parameter.normal_(0, 0.4);
        return (
            checkpoint.Model.Blocks.Single().named_parameters().ToDictionary(entry => entry.name, entry => (Tensor)entry.parameter),
            TestModels.Tokens(checkpoint.Model, 2, 11, seed: 3));
    }

    private static Checkpoint New(string json) => Checkpoint.New("test", ConfigJson.Parse(json, "config.json"), new ByteTokenizer(), seed: 1);
}
