using ReadTwice.Checkpoints;
using ReadTwice.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Synthetic;

/// <summary>The part of the examples of one size whose common token a model names.</summary>
/// <param name="A">Tokens of the set that stands first.</param>
/// <param name="B">Of the second.</param>
/// <param name="Trained">Whether it was trained on sets of this size.</param>
/// <param name="Accuracy">From 0 to 1.</param>
public sealed record SizeAccuracy(int A, int B, bool Trained, double Accuracy);

/// <summary>What a trained model can do.</summary>
/// <param name="Point">Which model.</param>
/// <param name="StateBytes">The size of its state; of one that grows with the text, after the longest.</param>
/// <param name="Sizes">What it names of each size.</param>
public sealed record DisjointnessRun(DisjointnessPoint Point, long StateBytes, IReadOnlyList<SizeAccuracy> Sizes)
{
    /// <summary>Mean over the sizes whose smaller set stands first; NaN where there is none.</summary>
    public double ShortFirst => Mean(size => size.A < size.B);

    /// <summary>Mean over the sizes whose larger set stands first; NaN where there is none.</summary>
    public double LongFirst => Mean(size => size.A > size.B);

    private double Mean(Func<SizeAccuracy, bool> of) => Sizes.Where(of).Select(size => size.Accuracy).DefaultIfEmpty(double.NaN).Average();
}

/// <summary>Trains small models on set disjointness and tests them, to see what order and reading do at each size of state (arXiv 2407.05483, figure 2).</summary>
/// <remarks>Four layers as the authors': convolution and linear attention in turn, two heads, layer norm, an MLP of GeLU.</remarks>
public static class DisjointnessExperiment
{
    private const int TestBatch = 100;

    /// <summary>Trains and tests one model.</summary>
    /// <param name="settings">How long, on what.</param>
    /// <param name="point">Which model; the same gives the same result.</param>
    /// <param name="progress">Told the done part, from 0 to 1.</param>
    /// <param name="cancel">Asked between updates.</param>
    public static DisjointnessRun Run(
        DisjointnessSettings settings, DisjointnessPoint point, IProgress<double>? progress = null, CancellationToken cancel = default)
    {
        var (reader, D, F, seed) = point;
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
        var accuracy = settings.TestSizes.Select(sizes => new SizeAccuracy(
            sizes.A, sizes.B, settings.TrainingSizes.Contains(sizes), Test(task, model, sizes, reader, settings.TestExamples, seed))).ToList();
        using var state = model.NewState();
        return new(point, state.Bytes + model.StateBytesPerToken * Longest(settings), accuracy);
    }

    private static TrainingBatch Batch(SetDisjointness task, SetSizes sizes, SetReader reader, int count, Random random)
    {
        var reading = reader == SetReader.Repeated ? Reading.Twice : Reading.Once;
        return TrainingBatch.Lay(
            [.. Enumerable.Range(0, count).Select(_ => task.Draw(sizes, reading, random).AsSequence())],
            new(reader == SetReader.NonCausal ? Objective.PrefixNextToken : Objective.NextToken, MaskId: 0), random);
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
        // A layer that is listed but has no mixer of its own is softmax attention.
        string mixer = reader == SetReader.Attention ? "" : $$"""
            "alt_mixer": { "_target_": "{{(reader == SetReader.NonCausal ? "PrefixLinearAttention" : "LinearAttention")}}", "num_heads": 2, "feature_dim": {{F}}, "enc_length": {{Longest(settings)}} },
            """;
        return ConfigJson.Parse($$"""
            {
              "model_type": "gpt2", "vocab_size": {{settings.VocabularySize}}, "pad_vocab_size_multiple": 8, "n_embd": {{D}}, "n_layer": 4, "n_head": 2, "n_inner": {{2 * D}},
              "n_positions": 0, "rms_norm": false, "activation_function": "gelu_new", "tie_word_embeddings": true,
              "mixer": { "_target_": "BaseConv", "expand_proj": 2, "use_bias": true },
              {{mixer}} "alt_mixer_layers": [1, 3]
            }
            """, "config.json");
    }

    private static int Longest(DisjointnessSettings settings) => settings.TrainingSizes.Concat(settings.TestSizes).Max(sizes => sizes.A + sizes.B) + 3;
}
