using System.Text.Json;

namespace ReadTwice.Tests.Cli;

/// <summary>From documents to a tokenizer, sequences, a trained model and its scores, as one would type it.</summary>
public sealed class TrainCommandTests : IDisposable
{
    private const string Config = """
        {
          "model": {
            "model_type": "gpt2", "vocab_size": 288, "pad_vocab_size_multiple": 8, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_inner": 48, "n_positions": 0,
            "rms_norm": true, "activation_function": "swiglu", "mlp_fc1_bias": false, "mlp_fc2_bias": false, "qkv_proj_bias": false, "out_proj_bias": false,
            "mixer": { "_target_": "BaseConv", "expand_proj": 4 },
            "alt_mixer": { "_target_": "PrefixLinearAttention", "num_heads": 1, "feature_dim": 8, "enc_length": 64 }, "alt_mixer_layers": [1]
          },
          "objective": "masked-prefix", "start": "recall", "phases": ["train.seq 3"], "batch_tokens": 200, "save_every": 2
        }
        """;

    private readonly TemporaryFolder folder = new();

    public TrainCommandTests()
    {
        var documents = Enumerable.Range(0, 6).Select(i => (Id: $"K{i}", Text: $"A. Applicant: Firm {i} B. Panel: Chemistry {i} C. Type of Test: no. {i * 37} {new string((char)('a' + i), 90)}")).ToList();
        File.WriteAllLines(folder.File("x-docs-visible.jsonl"), documents.Select(document => JsonSerializer.Serialize(new { doc_id = document.Id, text = document.Text })));
        File.WriteAllLines(folder.File("x-labels-visible.jsonl"), documents.SelectMany((document, i) => (string[])[
            JsonSerializer.Serialize(new { doc_id = document.Id, key = "applicant", value = $"Firm {i}" }),
            JsonSerializer.Serialize(new { doc_id = document.Id, key = "panel", value = $"Chemistry {i}" })]));
        File.WriteAllText(folder.File("train.json"), Config);
    }

    public void Dispose() => folder.Dispose();

    [Fact]
    public void A_model_is_trained_and_evaluated()
    {
        string Here(string name) => folder.File(name);
        Done("tokenizer", "train", Here("x-docs-visible.jsonl"), "--vocab-size", "280", "--out", folder.Path);
        Done("prepare", "--documents", Here("x-docs-visible.jsonl"), "--labels", Here("x-labels-visible.jsonl"), "-t", folder.Path, "-o", Here("train.seq"),
            "--part", "once,60,90,8", "--part", "twice,80,100,4", "--part", "copy,60,90,2", "--part", "random,60,90,2", "--prefix", "64");
        Done("train", Here("train.json"), "--data", folder.Path, "-t", folder.Path, "--out", Here("run"));

        string[] eval = ["eval", "--task", "fda", "--data", folder.Path, "--model", Here("run/model"), "--context", "120", "--json", Here("scores.json"), "--predictions", Here("lines.jsonl")];
        string table = Done(eval);
        Assert.Contains("twice", table, StringComparison.Ordinal);
        var scores = JsonDocument.Parse(File.ReadAllText(Here("scores.json"))).RootElement;
        var first = scores.GetProperty("results")[0];
        Assert.Equal(("fda", "model", "once", 120, 12), (first.GetProperty("task").GetString(), first.GetProperty("model").GetString(), first.GetProperty("reading").GetString(),
            first.GetProperty("context").GetInt32(), first.GetProperty("n").GetInt32()));
        Assert.True(first.GetProperty("state_bytes").GetInt64() > 0 && first.GetProperty("seconds").GetDouble() > 0 && first.GetProperty("score").GetDouble() >= 0);
        Assert.Equal(1, scores.GetProperty("paired").GetArrayLength());

        // Cut short, as by a kill, the predictions are made whole again and the scores are the same.
        string[] lines = File.ReadAllLines(Here("lines.jsonl"));
        Assert.Equal(24, lines.Length);
        File.WriteAllText(Here("lines.jsonl"), string.Join('\n', lines[..7]) + "\n" + lines[7][..20]);
        Assert.Equal(table, Done(eval));
        Assert.Equal(lines, File.ReadAllLines(Here("lines.jsonl")));
    }

    [Fact]
    public void What_does_not_fit_is_told_in_one_line()
    {
        CommandLine.Fails(CommandLine.Run("train", folder.File("none.json"), "-d", folder.Path, "-t", folder.Path, "-o", folder.File("run")), "none.json", "does not exist");
        CommandLine.Fails(CommandLine.Run("train", folder.File("train.json"), "-d", folder.Path, "-t", folder.Path, "-o", folder.File("run")), "tokenizer.json");
        File.Copy(folder.File("x-docs-visible.jsonl"), folder.File("x-docs-other.jsonl"));
        CommandLine.Fails(CommandLine.Run("eval", "--task", "fda", "--data", folder.Path, "--part", "none", "-m", folder.Path), "0 files");
        CommandLine.Fails(CommandLine.Run("eval", "--task", "fdb", "--data", folder.Path, "-m", folder.Path), "fdb", "Known");
    }

    private static string Done(params string[] args)
    {
        var result = CommandLine.Run(args);
        Assert.True(result.Code == 0, result.Error);
        return result.Out;
    }
}
