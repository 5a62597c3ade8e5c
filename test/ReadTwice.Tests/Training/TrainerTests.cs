using System.Text.RegularExpressions;
using ReadTwice.Checkpoints;
using ReadTwice.Models;
using ReadTwice.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Training;

public sealed partial class TrainerTests : IDisposable
{
    private const string Jrt = "HazyResearch JRT-RNN";
    private readonly TemporaryFolder folder = new();
    private readonly DisposeScope scope = NewDisposeScope();
    private readonly Tensor guard;

    public TrainerTests()
    {
        Native.Libtorch.Threads = 1;
        guard = zeros(1);
        var words = new BytePairTraining();
        words.Add("the cat sat on the mat and the bat and the rat sat there too");
        File.WriteAllText(folder.File("tokenizer.json"), words.Train(280));

        // Ten letters, and the same again after the prefix: what follows can be known from what was read.
        var random = new Random(5);
        TokenSequence Copy()
        {
            int[] letters = [.. Enumerable.Range(0, 10).Select(_ => random.Next(20))];
            return TokenSequence.OfText([.. letters, .. letters], 10);
        }
        TokenFile.Write(folder.File("a.seq"), 280, [.. Enumerable.Range(0, 64).Select(_ => Copy())]);
        TokenFile.Write(folder.File("b.seq"), 280, [.. Enumerable.Range(0, 16).Select(_ => Copy())]);
    }

    /// <summary>Published forms whose tensors are only renamed when they are read, and so can be written.</summary>
    public static TheoryData<string> Trainable =>
        [.. Architectures.All.SelectMany(architecture => architecture.Families).Where(family => family.Adapt is null).Select(family => family.Name)];

    public void Dispose()
    {
        guard.Dispose();
        scope.Dispose();
        folder.Dispose();
    }

    [Theory, InlineData(false), InlineData(true)]
    public void A_run_that_was_killed_ends_with_the_weights_of_one_that_was_not(bool stoppedGently)
    {
        string config = Config(Jrt, """ "phases": ["a.seq 5", "b.seq 3"], "save_every": 2, "average": 0.9, "accumulation": 2 """);
        Run(config, "whole");

        // Killed after the fifth update, of which the checkpoint of the fourth knows nothing; stopped, it writes one first.
        using (var trainer = Make(config, "cut"))
        using (var stop = new CancellationTokenSource())
        {
            Assert.ThrowsAny<Exception>(() => trainer.Run(report =>
            {
                if (report.Step != 5) return;
                if (stoppedGently) stop.Cancel();
                else throw new TimeoutException("killed");
            }, stop.Token));
        }
        Run(config, "cut");

        foreach (string file in (string[])["training.safetensors", "model/model.safetensors"])
            Assert.Equal(File.ReadAllBytes(folder.File($"whole/{file}")), File.ReadAllBytes(folder.File($"cut/{file}")));
    }

    [Theory, MemberData(nameof(Trainable))]
    public void An_exported_model_gives_the_logits_of_the_trained_one(string family)
    {
        foreach (string type in (string[])["f32", "bf16"])
        {
            using var trainer = Make(Config(family, $""" "phases": ["a.seq 2"], "dtype": "{type}" """), $"run-{type}");
            trainer.Run(_ => { }, TestContext.Current.CancellationToken);
            using var loaded = Checkpoint.Load(trainer.ExportFolder, type == "f32" ? ScalarType.Float32 : ScalarType.BFloat16);
            using var inference = no_grad();
            var tokens = TestModels.Tokens(trainer.Model, 2, 19, seed: 1);
            Near.Equal(trainer.Model.forward(tokens), loaded.Model.forward(tokens), tolerance: 0);
            Assert.Empty(loaded.UnusedTensors);
            Assert.Equal("the cat", loaded.Tokenizer.Decode(loaded.Tokenizer.Encode("the cat")));
        }
    }

    [Fact]
    public void A_run_can_start_from_the_weights_of_another()
    {
        Run(Config(Jrt, """ "phases": ["a.seq 2"] """), "first");
        string config = Config(Jrt, """ "phases": ["b.seq 1"], "seed": 5 """);
        using (var trainer = Make(config, "second", folder.File("first/model")))
        using (var first = Checkpoint.Load(folder.File("first/model")))
            foreach (var (ours, theirs) in trainer.Model.NamedParameters.Zip(first.Model.NamedParameters))
                Near.Equal(theirs.Parameter, ours.Parameter, tolerance: 0, because: ours.Name);
        Run(config, "second", folder.File("first/model"));
        Assert.Throws<InvalidDataException>(() => Run(config, "second"));
        Assert.Contains("same shape", Assert.Throws<InvalidDataException>(
            () => Make(config.Replace("\"n_embd\": 24", "\"n_embd\": 48", StringComparison.Ordinal), "third", folder.File("first/model"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_loss_falls()
    {
        var losses = new List<double>();
        using var trainer = Make(Config(Jrt, """ "phases": ["a.seq 60"], "peak_rate": 0.01, "warm_up": 5, "validation": "b.seq", "save_every": 60 """), "run");
        ValidationReport? validation = null;
        trainer.Run(report =>
        {
            losses.Add(report.Next);
            validation = report.Validation;
        }, TestContext.Current.CancellationToken);
        Assert.True(losses.TakeLast(5).Average() < 0.6 * losses.Take(5).Average(), $"from {losses[0]} to {losses[^1]}");
        Assert.NotNull(validation);
        Assert.Equal(60, File.ReadAllLines(folder.File("run/log.jsonl")).Length);
    }

    [Fact]
    public void The_validation_is_that_of_the_averaged_weights_which_are_exported()
    {
        string config = Config(Jrt, """ "phases": ["a.seq 6"], "average": 0.9, "peak_rate": 0.02, "validation": "b.seq", "save_every": 3, "batch_tokens": 400 """)
            .Replace("masked-prefix", "prefix-next-token", StringComparison.Ordinal);
        var validations = new List<double>();
        using var trainer = Make(config, "run");
        trainer.Run(report =>
        {
            if (report.Validation is { } validation) validations.Add(validation.Next);
        }, TestContext.Current.CancellationToken);
        using var exported = Checkpoint.Load(trainer.ExportFolder);
        Assert.Equal(NextLoss(exported.Model), validations[1], 5);
        Assert.True(Math.Abs(NextLoss(trainer.Model) - validations[1]) > 0.01, "the model goes on from its own weights, not from their average");

        // A run that measures nothing ends with the same weights.
        using var unmeasured = Make(config.Replace("\"validation\": \"b.seq\",", "", StringComparison.Ordinal), "unmeasured");
        unmeasured.Run(_ => { }, TestContext.Current.CancellationToken);
        foreach (var (one, other) in trainer.Model.NamedParameters.Zip(unmeasured.Model.NamedParameters)) Near.Equal(one.Parameter, other.Parameter, tolerance: 0, because: one.Name);
    }

    [Fact]
    public void Gradients_of_several_batches_make_the_update_of_one_that_holds_them_all()
    {
        const double Rounding = 1e-5;   // of sums in another order; a large epsilon keeps Adam from making up for a wrong factor of the gradient
        using (var all = new TokenFile(folder.File("b.seq"))) TokenFile.Write(folder.File("four.seq"), 280, [.. Enumerable.Range(0, 4).Select(i => all[i])]);
        string Of(int tokens, int batches) => Config(Jrt, $""" "phases": ["four.seq 3"], "accumulation": {batches}, "peak_rate": 0.002, "epsilon": 0.1, "clip": 0 """)
            .Replace("masked-prefix", "prefix-next-token", StringComparison.Ordinal).Replace("\"batch_tokens\": 80", $"\"batch_tokens\": {tokens}", StringComparison.Ordinal);
        using var one = Make(Of(80, 1), "one");
        using var several = Make(Of(40, 2), "several");
        one.Run(_ => { }, TestContext.Current.CancellationToken);
        several.Run(_ => { }, TestContext.Current.CancellationToken);
        foreach (var (a, b) in one.Model.NamedParameters.Zip(several.Model.NamedParameters)) Near.Equal(a.Parameter, b.Parameter, Rounding, because: a.Name);
    }

    [Fact]
    public void Updates_too_small_for_bfloat16_add_up_in_the_weights_behind_it()
    {
        // A 2000th of what a bfloat16 near 1, as the norms' weights are, can change by.
        string config = Config(Jrt, """ "phases": ["a.seq 4"], "dtype": "bf16", "peak_rate": 4e-6, "final_rate": 4e-6, "weight_decay": 0 """);
        using (var drawn = Make(config, "run"))
        {
            var matrix = drawn.Model.NamedParameters.First(named => named.Parameter.dtype == ScalarType.BFloat16);
            using var before = matrix.Parameter.clone();
            drawn.Run(_ => { }, TestContext.Current.CancellationToken);
            using var files = WeightFiles.Open(folder.File("run/training.safetensors"));
            using var inference = no_grad();
            var stored = files.Tensors[$"value.{matrix.Name}"];
            Assert.Equal(StoredType.F32, stored.Type);
            float[] values = Floats(stored);
            float[] rounded = before.to(ScalarType.Float32).data<float>().ToArray();
            Assert.Equal(rounded.Length, values.Length);
            // Four updates of 4e-6 each moved nearly every weight, most of them by less than its bfloat16 could show.
            Assert.True(values.Zip(rounded).Count(pair => pair.First != pair.Second) > values.Length / 2);
            Assert.True(matrix.Parameter.eq(before).sum().item<long>() > values.Length / 2);
        }
    }

    [Fact]
    public void A_tokenizer_that_does_not_fit_the_model_is_refused_before_anything_is_trained()
    {
        string Rows(int rows) => Config(Jrt, """ "phases": ["a.seq 1"] """).Replace("\"vocab_size\": 288", $"\"vocab_size\": {rows}", StringComparison.Ordinal);
        Assert.Contains("mask needs a row", Assert.Throws<InvalidDataException>(() => Make(Rows(264), "run")).Message, StringComparison.Ordinal);
        string plain = Rows(264).Replace("masked-prefix", "prefix-next-token", StringComparison.Ordinal);
        string refused = Assert.Throws<InvalidDataException>(() => Make(plain, "run")).Message;
        Assert.Contains("a.seq has a vocabulary of 280", refused, StringComparison.Ordinal);
        Assert.Contains("Raise vocab_size", refused, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.File("run")));
    }

    [Fact]
    public void A_file_of_sequences_that_was_cut_short_is_refused_before_anything_is_trained()
    {
        byte[] whole = File.ReadAllBytes(folder.File("b.seq"));
        File.WriteAllBytes(folder.File("cut.seq"), whole[..(whole.Length / 2)]);
        Assert.Contains("cut.seq", Assert.Throws<InvalidDataException>(() => Make(Config(Jrt, """ "phases": ["a.seq 1"], "validation": "cut.seq" """), "run")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_full_disk_ends_the_run_with_an_error_that_names_the_file_and_the_last_checkpoint_stays()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "/dev/full, which says that the disk is full, is not on this system.");
        string config = Config(Jrt, """ "phases": ["a.seq 4"], "save_every": 2 """);
        using (var trainer = Make(config, "run"))
        using (var stop = new CancellationTokenSource())
            Assert.ThrowsAny<OperationCanceledException>(() => trainer.Run(report =>
            {
                if (report.Step == 2) stop.Cancel();
            }, stop.Token));
        byte[] kept = File.ReadAllBytes(folder.File("run/training.safetensors"));
        File.Delete(folder.File("run/log.jsonl"));
        File.CreateSymbolicLink(folder.File("run/log.jsonl"), "/dev/full");
        using var again = Make(config, "run");
        Assert.Contains("space", Assert.ThrowsAny<IOException>(() => again.Run(_ => { }, TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
        Assert.Equal(kept, File.ReadAllBytes(folder.File("run/training.safetensors")));
    }

    [Fact]
    public void A_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint()
    {
        string config = Config(Jrt, """ "phases": ["a.seq 9"], "save_every": 2 """);
        using var trainer = Make(config, "run");
        byte[] kept = [];
        var broken = Assert.Throws<InvalidDataException>(() => trainer.Run(report =>
        {
            if (report.Step != 3) return;
            kept = File.ReadAllBytes(folder.File("run/training.safetensors"));
            using var inference = no_grad();
            trainer.Model.NamedParameters[0].Parameter.fill_(float.NaN);
        }, TestContext.Current.CancellationToken));
        Assert.Contains("update 4", broken.Message, StringComparison.Ordinal);
        Assert.Contains("update 2 is kept", broken.Message, StringComparison.Ordinal);
        Assert.Equal(kept, File.ReadAllBytes(folder.File("run/training.safetensors")));
    }

    [Fact]
    public void The_checkpoint_of_another_run_is_refused()
    {
        Run(Config(Jrt, """ "phases": ["a.seq 1"] """), "run");
        using var trainer = Make(Config(Jrt, """ "phases": ["a.seq 1"], "seed": 5 """), "run");
        Assert.Contains("another config", Assert.Throws<InvalidDataException>(() => trainer.Run(_ => { }, TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(""" "phases": ["a.seq"] """, "phases[0]")]
    [InlineData(""" "phases": ["a.seq 2"], "peak_rate": 3 """, "peak_rate")]
    [InlineData(""" "phases": ["a.seq 2"], "warm_up": 3 """, "warm_up")]
    [InlineData(""" "phases": ["a.seq 2"], "peek_rate": 1 """, "peek_rate")]
    [InlineData(""" "phases": ["a.seq 2"], "dtype": "f16" """, "dtype")]
    public void A_config_that_does_not_fit_names_the_key(string settings, string key) =>
        Assert.Contains(key, Assert.Throws<InvalidDataException>(() => Make(Config(Jrt, settings), "run")).Message, StringComparison.Ordinal);

    [Fact]
    public void A_prefix_longer_than_the_models_is_refused()
    {
        TokenFile.Write(folder.File("long.seq"), 280, [TokenSequence.OfText(new int[40], 30)]);
        Assert.Contains("enc_length is 12", Assert.Throws<InvalidDataException>(
            () => Make(Config(Jrt, """ "phases": ["long.seq 1"] """), "run")).Message, StringComparison.Ordinal);
    }

    private double NextLoss(LanguageModel model)
    {
        using var file = new TokenFile(folder.File("b.seq"));
        using var inference = no_grad();
        return PrefixLoss.Of(model, TrainingBatch.Lay([.. Enumerable.Range(0, file.Count).Select(i => file[i])], new(Objective.PrefixNextToken, 0), new Random(1)), 0).Parts.Next;
    }

    private static unsafe float[] Floats(StoredTensor stored) => new ReadOnlySpan<float>(stored.Data, (int)stored.Count).ToArray();

    private void Run(string config, string output, string? from = null)
    {
        using var trainer = Make(config, output, from);
        trainer.Run(_ => { }, TestContext.Current.CancellationToken);
    }

    private Trainer Make(string config, string output, string? from = null) =>
        new(TrainingConfig.Read(ConfigJson.Parse(config, "train.json")), folder.Path, folder.Path, folder.File(output), from);

    private static string Config(string family, string settings)
    {
        var form = Architectures.All.SelectMany(architecture => architecture.Families).Single(each => each.Name == family);
        string model = VocabularySize().Replace(form.Example, "\"vocab_size\": 288");
        string objective = family == Jrt ? "masked-prefix" : "next-token";
        return $$"""{ "model": {{model}}, "objective": "{{objective}}", "batch_tokens": 80, {{settings}} }""";
    }

    [GeneratedRegex("\"vocab_size\": [0-9]+")]
    private static partial Regex VocabularySize();
}
