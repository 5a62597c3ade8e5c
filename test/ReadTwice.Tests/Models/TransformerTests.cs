using ReadTwice.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace ReadTwice.Tests.Models;

/// <summary>The Transformers against their definitions, in the forms that no golden data covers.</summary>
public sealed class TransformerTests : IDisposable
{
    private const double Theta = 100;

    private static readonly double[] plain = Plain.Frequencies(8, Theta);

    // Of rope_scaling and what stands beside it: the frequencies for 15 tokens, and the size of the turned vectors.
    private static readonly Dictionary<string, (double[] Frequencies, double Size)> stretched = new()
    {
        [""" "rope_scaling": { "type": "linear", "factor": 4 } """] = ([.. plain.Select(f => f / 4)], 1),
        [""" "rope_scaling": { "rope_type": "dynamic", "factor": 3 }, "max_position_embeddings": 20 """] = (plain, 1),
        [""" "rope_scaling": { "rope_type": "dynamic", "factor": 3 }, "max_position_embeddings": 10 """] =
            (Plain.Frequencies(8, Theta * Math.Pow(3 * 15 / 10.0 - 2, 8 / 6.0)), 1),
        [""" "rope_scaling": { "rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 100 } """] =
            ([plain[0], plain[1], Between((100 * plain[2] / (2 * Math.PI) - 1) / 3, plain[2] / 8, plain[2]), plain[3] / 8], 1),
        [""" "rope_scaling": { "rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 32 } """] =
            ([plain[0], Between(0.5, plain[1] / 4, plain[1]), plain[2] / 4, plain[3] / 4], 0.1 * Math.Log(4) + 1),
        [""" "rope_scaling": { "rope_type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [1, 2, 3, 4] }, "original_max_position_embeddings": 8, "max_position_embeddings": 32 """] =
            ([plain[0], plain[1] / 2, plain[2] / 3, plain[3] / 4], Math.Sqrt(1 + Math.Log(4) / Math.Log(8))),
        [""" "rope_scaling": { "rope_type": "longrope", "factor": 2, "short_factor": [4, 3, 2, 1], "long_factor": [1, 1, 1, 1] }, "max_position_embeddings": 16 """] =
            ([plain[0] / 4, plain[1] / 3, plain[2] / 2, plain[3]], Math.Sqrt(1 + Math.Log(2) / Math.Log(16))),
    };

    private readonly DisposeScope scope = NewDisposeScope();

    public TransformerTests() => Native.Libtorch.Threads = 1;

    public static TheoryData<string> Stretched => [.. stretched.Keys];

    public void Dispose() => scope.Dispose();

    [Theory, MemberData(nameof(Stretched))]
    public void Llama_with_biases_and_stretched_positions_gives_what_its_definition_gives(string positions)
    {
        using var checkpoint = New($$"""
            {
              "model_type": "llama", "vocab_size": 29, "hidden_size": 20, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
              "intermediate_size": 12, "attention_bias": true, "mlp_bias": true, "hidden_act": "relu", "rms_norm_eps": 0.01, "rope_theta": {{Theta}},
              "tie_word_embeddings": true, {{positions}}
            }
            """);
        using var inference = no_grad();
        var (w, tokens) = Drawn(checkpoint);
        Tensor Linear(Tensor u, string name) => linear(u, w[$"blocks.0.{name}.weight"], w[$"blocks.0.{name}.bias"]);

        var x = w["embedding.weight"].index_select(0, tokens.flatten()).view(2, 15, 20);
        var u = Plain.RmsNorm(x, w["blocks.0.norm.weight"], 0.01);
        var (inverse, size) = stretched[positions];
        var (q, k) = (Plain.Turned(Linear(u, "mixer.q"), 4, inverse, size), Plain.Turned(Linear(u, "mixer.k"), 2, inverse, size));
        x = x + Linear(Plain.Attention(q, k, Linear(u, "mixer.v"), 4, 2, 1 / Math.Sqrt(8)), "mixer.output");
        u = Plain.RmsNorm(x, w["blocks.0.norm2.weight"], 0.01);
        x = x + Linear(relu(Linear(u, "mlp.gate")) * Linear(u, "mlp.up"), "mlp.down");
        Near.Equal(linear(Plain.RmsNorm(x, w["norm.weight"], 0.01), w["embedding.weight"]), checkpoint.Model.forward(tokens));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void GPT_NeoX_without_biases_of_attention_gives_what_its_definition_gives(bool parallel)
    {
        using var checkpoint = New($$"""
            {
              "model_type": "gpt_neox", "vocab_size": 29, "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 12,
              "rotary_pct": 0.8, "rotary_emb_base": {{Theta}}, "layer_norm_eps": 0.01, "attention_bias": false, "use_parallel_residual": {{(parallel ? "true" : "false")}}
            }
            """);
        using var inference = no_grad();
        var (w, tokens) = Drawn(checkpoint);
        Tensor Norm(Tensor u, string name) => Plain.LayerNorm(u, w[name + ".weight"], w[name + ".bias"], 0.01);

        var x = w["embedding.weight"].index_select(0, tokens.flatten()).view(2, 15, 24);
        var heads = linear(Norm(x, "blocks.0.norm"), w["blocks.0.mixer.qkv.weight"]).chunk(9, 2);   // of each head its query, key and value
        Tensor Of(int part) => cat([heads[part], heads[3 + part], heads[6 + part]], 2);
        double[] inverse = Plain.Frequencies(6, Theta);
        var attended = linear(
            Plain.Attention(Plain.Turned(Of(0), 3, inverse), Plain.Turned(Of(1), 3, inverse), Of(2), 3, 3, 1 / Math.Sqrt(8)), w["blocks.0.mixer.output.weight"]);
        var u = Norm(parallel ? x : x + attended, "blocks.0.norm2");
        var mlp = linear(gelu(linear(u, w["blocks.0.mlp.fc1.weight"], w["blocks.0.mlp.fc1.bias"])), w["blocks.0.mlp.fc2.weight"], w["blocks.0.mlp.fc2.bias"]);
        Near.Equal(linear(Norm(x + attended + mlp, "norm"), w["head.weight"]), checkpoint.Model.forward(tokens));
    }

    private static double Between(double share, double low, double high) => low + share * (high - low);

    private static (Dictionary<string, Tensor> Weights, Tensor Tokens) Drawn(Checkpoint checkpoint)
    {
        var weights = checkpoint.Model.NamedParameters.ToDictionary(named => named.Name, named => (Tensor)named.Parameter);
        foreach (var weight in weights.Values) weight.normal_(0, 0.4);
        return (weights, TestModels.Tokens(checkpoint.Model, 2, 15, seed: 3));
    }

    private static Checkpoint New(string json) => Checkpoint.New("test", ConfigJson.Parse(json, "config.json"), new ByteTokenizer(), seed: 1);
}
