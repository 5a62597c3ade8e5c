using ReadTwice.Checkpoints;
using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Models;

/// <summary>Checkpoints as older versions of fla-org's code wrote them, and what theirs and others store twice.</summary>
public sealed class OlderFilesTests : IDisposable
{
    private const string Frame = "\"hidden_size\": 32, \"num_hidden_layers\": 2, \"intermediate_size\": 40, \"vocab_size\": 96";
    private const string Tied = $$"""{ {{Frame}}, "model_type": "linear_attn", "num_heads": 2, "feature_map": "hedgehog", "tie_feature_map_qk": true, "tie_word_embeddings": true }""";
    private const string Mamba = "\"hidden_size\": 32, \"num_hidden_layers\": 2, \"vocab_size\": 96, \"state_size\": 8, \"head_dim\": 8, \"num_heads\": 8, \"n_groups\": 2";

    private static readonly Dictionary<string, (string Config, Action<Dictionary<string, Tensor>> Edit)> files = new()
    {
        ["the head of a tied model"] = (Tied, tensors => tensors["lm_head.weight"] = ones(96, 32)),
        ["both copies of one feature map"] = (Tied, tensors => EachLayer(tensors, "attn.feature_map_q.", (layer, part, map) =>
            tensors[$"{layer}attn.feature_map_k.{part}"] = map.clone())),
        ["the other copy of one feature map"] = (Tied, tensors => EachLayer(tensors, "attn.feature_map_q.", (layer, part, map) =>
        {
            tensors.Remove($"{layer}attn.feature_map_q.{part}");
            tensors[$"{layer}attn.feature_map_k.{part}"] = map;
        })),
        ["gate and up in one matrix"] = ($$"""{ {{Frame}}, "model_type": "retnet", "num_heads": 2 }""", tensors => EachLayer(tensors, "mlp.up_proj.", (layer, part, up) =>
        {
            tensors.Remove($"{layer}mlp.up_proj.{part}");
            tensors[$"{layer}mlp.gate_proj.{part}"] = cat([tensors[$"{layer}mlp.gate_proj.{part}"], up], 0);
        })),
        ["a skip that nothing reads"] = ($$"""{ {{Frame}}, "model_type": "gated_deltanet", "num_heads": 2, "head_dim": 8 }""", tensors =>
            EachLayer(tensors, "attn.A_log", (layer, _, decay) => tensors[$"{layer}attn.D"] = ones_like(decay))),
        ["six shares as one"] = ($$"""{ {{Frame}}, "model_type": "rwkv7", "head_dim": 8 }""", tensors => EachLayer(tensors, "attn.x_r", (layer, _, _) =>
        {
            tensors[$"{layer}attn.x_x"] = stack([.. "rwkvag".Select(share => tensors[$"{layer}attn.x_{share}"].flatten())]);
            foreach (char share in "rwkvag") tensors.Remove($"{layer}attn.x_{share}");
        })),
        ["another name of the embedding"] = ($$"""{ {{Mamba}}, "model_type": "mamba2", "norm_eps": 1e-5 }""", RenameEmbedding),
    };

    private readonly TemporaryFolder folder = new();
    private readonly DisposeScope scope = NewDisposeScope();

    public OlderFilesTests() => Libtorch.Threads = 1;

    public static TheoryData<string> Files => [.. files.Keys];

    public void Dispose()
    {
        scope.Dispose();
        folder.Dispose();
    }

    [Theory, MemberData(nameof(Files))]
    public void A_file_gives_the_model_of_the_current_form_and_nothing_in_it_is_left_over(string file)
    {
        var (config, edit) = files[file];
        using var current = New(config);
        using var loaded = Reload(current, config, edit);
        Assert.Empty(loaded.UnusedTensors);
        Assert.Equal(current.Family, loaded.Family);
        EqualLogits(current, loaded);
    }

    [Fact]
    public void Older_Mamba_2_takes_the_norm_of_all_groups_together_as_transformers_does()
    {
        using var transformers = New($$"""{ {{Mamba}}, "model_type": "mamba2", "layer_norm_epsilon": 1e-3, "time_step_limit": [0.01, 0.02] }""");
        using var older = Reload(transformers, $$"""{ {{Mamba}}, "model_type": "mamba2", "norm_eps": 1e-3, "rms_norm": true, "time_step_limit": [0.01, 0.02] }""", _ => { });
        Assert.Equal("fla Mamba-2", older.Family.Name);
        EqualLogits(transformers, older);
    }

    private static Checkpoint New(string config)
    {
        var checkpoint = Checkpoint.New("small", ConfigJson.Parse(config, "config.json"), new ByteTokenizer(), seed: 1);
        using var inference = no_grad();
        using var chance = new torch.Generator(5);
        foreach (var parameter in checkpoint.Model.parameters()) parameter.normal_(0, 0.3, chance);
        return checkpoint;
    }

    private Checkpoint Reload(Checkpoint made, string config, Action<Dictionary<string, Tensor>> edit)
    {
        var tensors = made.Model.NamedParameters.ToDictionary(each => made.Family.Theirs(each.Name), each => each.Parameter.detach());
        edit(tensors);
        File.WriteAllText(folder.File("config.json"), config);
        using (var stream = File.Create(folder.File("model.safetensors")))
            SafetensorsWriter.Write(stream, null, [.. tensors.Select(each => TensorMemory.ToWrite(each.Key, each.Value.contiguous()))]);
        return Checkpoint.Load(folder.Path);
    }

    private static void RenameEmbedding(Dictionary<string, Tensor> tensors)
    {
        tensors["backbone.embedding.weight"] = tensors["backbone.embeddings.weight"];
        tensors.Remove("backbone.embeddings.weight");
    }

    private static void EachLayer(Dictionary<string, Tensor> tensors, string part, Action<string, string, Tensor> edit)
    {
        foreach (var (name, tensor) in tensors.Where(each => each.Key.Contains(part, StringComparison.Ordinal)).ToArray())
        {
            int at = name.IndexOf(part, StringComparison.Ordinal);
            edit(name[..at], name[(at + part.Length)..], tensor);
        }
    }

    private static void EqualLogits(Checkpoint expected, Checkpoint actual)
    {
        using var inference = no_grad();
        var tokens = TestModels.Tokens(expected.Model, 2, 20, seed: 6);
        Near.Equal(expected.Model.forward(tokens), actual.Model.forward(tokens), tolerance: 0);
    }
}
