using ReadTwice.Checkpoints;
using ReadTwice.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Synthetic;

/// <summary>Who reads the two sets.</summary>
public enum SetReader
{
    /// <summary>Linear attention from left to right, sets laid once.</summary>
    Once,

    /// <summary>The same, sets laid twice.</summary>
    Twice,

    /// <summary>Prefix linear attention (JRT-RNN), sets laid once: both are in the state before the first query.</summary>
    Prefix,
}

/// <summary>A run's size on a processor; the authors' own is some thousand times as large.</summary>
public sealed record DisjointnessSettings
{
    /// <summary>Tokens of the vocabulary.</summary>
    public int VocabularySize { get; init; } = 256;

    /// <summary>Sizes that are trained on.</summary>
    public IReadOnlyList<SetSizes> TrainingSizes { get; init; } = SetDisjointness.BothOrders([new(4, 16), new(4, 32), new(8, 32)]);

    /// <summary>Sizes that are tested; larger ones than any trained on tell how far a model reaches.</summary>
    public IReadOnlyList<SetSizes> TestSizes { get; init; } = SetDisjointness.BothOrders([new(4, 16), new(4, 32), new(8, 32), new(4, 64), new(8, 64)]);

    /// <summary>Updates, each of one size, the sizes in turn.</summary>
    public int Steps { get; init; } = 3000;

    /// <summary>Examples of an update; drawn anew each time.</summary>
    public int BatchSize { get; init; } = 64;

    /// <summary>Test examples of each size.</summary>
    public int TestExamples { get; init; } = 500;

    /// <summary>The highest learning rate; it falls to 0.</summary>
    public double Rate { get; init; } = 2e-3;
}

/// <summary>What a trained model can do.</summary>
/// <param name="Reader">Who reads.</param>
/// <param name="D">Model width.</param>
/// <param name="F">Feature width.</param>
/// <param name="Seed">Decides weights and examples.</param>
/// <param name="StateBytes">The size of its state.</param>
/// <param name="Accuracy">The part of the examples whose common token it names, by sizes.</param>
/// <param name="ShortFirst">Mean over the sizes whose smaller set stands first.</param>
/// <param name="LongFirst">Mean over those whose larger set does.</param>
public sealed record DisjointnessRun(
    SetReader Reader, int D, int F, int Seed, long StateBytes, IReadOnlyDictionary<string, double> Accuracy, double ShortFirst, double LongFirst);

/// <summary>Trains small models on set disjointness and tests them, to see what order and reading do at each size of state (arXiv 2407.05483, figure 2).</summary>
/// <remarks>Four layers as the authors': convolution and linear attention in turn, two heads, layer norm, an MLP of GeLU.</remarks>
public static class DisjointnessExperiment
{
    private const int TestBatch = 100;

    /// <summary>Trains and tests one model.</summary>
    /// <param name="settings">How long, on what.</param>
    /// <param name="reader">Who reads.</param>
    /// <param name="D">Model width.</param>
    /// <param name="F">Feature width.</param>
    /// <param name="seed">Decides weights and examples; the same gives the same result.</param>
    /// <param name="progress">Told the done part, from 0 to 1.</param>
    /// <param name="cancel">Asked between updates.</param>
    public static DisjointnessRun Run(
        DisjointnessSettings settings, SetReader reader, int D, int F, int seed, IProgress<double>? progress = null, CancellationToken cancel = default)
    {
        var task = new SetDisjointness(settings.VocabularySize);
        using var checkpoint = Checkpoint.New("synthetic", Config(settings, reader, D, F), new ByteTokenizer(), seed);
        var model = checkpoint.Model;
        model.train();
        using (var chance = new torch.Generator((ulong)seed)) TrainingSetup.Draw(model, 1 / Math.Sqrt(D), chance);
        var parameters = TrainingSetup.Parameters(model, decayNorms: true);
        var optimizer = new AdamW(0.9, 0.98, 1e-8, 0.1);
        var rate = new LearningRate(settings.Rate, 0, settings.Steps / 20, settings.Steps - settings.Steps / 20);
        var random = new Random(seed);
        for (int step = 0; step < settings.Steps; step++)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            var batch = Batch(task, settings.TrainingSizes[step % settings.TrainingSizes.Count], reader, settings.BatchSize, random);
            var (loss, _) = PrefixLoss.Of(model, batch, 0);
            loss.backward();
            foreach (var parameter in parameters) parameter.TakeGradient(1);
            double norm = AdamW.Norm(parameters);
            optimizer.Update(parameters, rate.At(step), step + 1, norm > 1 ? 1 / norm : 1);
            progress?.Report((step + 1.0) / settings.Steps);
        }
        model.eval();
        var accuracy = settings.TestSizes.ToDictionary(sizes => $"{sizes}", sizes => Test(task, model, sizes, reader, settings.TestExamples, seed));
        using var state = model.NewState();
        double Mean(Func<SetSizes, bool> of) => settings.TestSizes.Where(of).Select(sizes => accuracy[$"{sizes}"]).DefaultIfEmpty(double.NaN).Average();
        return new(reader, D, F, seed, state.Bytes, accuracy, Mean(sizes => sizes.A < sizes.B), Mean(sizes => sizes.A > sizes.B));
    }

    private static TrainingBatch Batch(SetDisjointness task, SetSizes sizes, SetReader reader, int count, Random random)
    {
        var reading = reader == SetReader.Twice ? Reading.Twice : Reading.Once;
        return TrainingBatch.Lay(
            [.. Enumerable.Range(0, count).Select(_ => task.Draw(sizes, reading, random).AsSequence())],
            new(reader == SetReader.Prefix ? Objective.PrefixNextToken : Objective.NextToken, MaskId: 0), random);
    }

    private static double Test(SetDisjointness task, LanguageModel model, SetSizes sizes, SetReader reader, int count, int seed)
    {
        using var inference = no_grad();
        var random = new Random(~seed);
        int right = 0;
        for (int done = 0; done < count; done += TestBatch)
        {
            using var scope = NewDisposeScope();
            right += PrefixLoss.Of(model, Batch(task, sizes, reader, Math.Min(TestBatch, count - done), random), 0).Parts.AnswersRight;
        }
        return (double)right / count;
    }

    private static ConfigJson Config(DisjointnessSettings settings, SetReader reader, int D, int F)
    {
        int longest = settings.TrainingSizes.Concat(settings.TestSizes).Max(sizes => sizes.A + sizes.B) + 3;
        string attention = reader == SetReader.Prefix ? "PrefixLinearAttention" : "LinearAttention";
        return ConfigJson.Parse($$"""
            {
              "model_type": "gpt2", "vocab_size": {{settings.VocabularySize}}, "pad_vocab_size_multiple": 8, "n_embd": {{D}}, "n_layer": 4, "n_head": 2, "n_inner": {{2 * D}},
              "n_positions": 0, "rms_norm": false, "activation_function": "gelu_new", "tie_word_embeddings": true,
              "mixer": { "_target_": "BaseConv", "expand_proj": 2, "use_bias": true },
              "alt_mixer": { "_target_": "{{attention}}", "num_heads": 2, "feature_dim": {{F}}, "enc_length": {{longest}} }, "alt_mixer_layers": [1, 3]
            }
            """, "config.json");
    }
}
