using ReadTwice.Checkpoints;
using ReadTwice.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Bench;

/// <summary>One update of a model of random weights: forward, backward, AdamW.</summary>
/// <remarks>The weights are float32 always; matrices are multiplied in float32, or in bfloat16 as a run with "dtype": "bf16" does.</remarks>
public static class TrainBench
{
    private const double MaskWeight = 0.25;

    /// <summary>A row for each length and shape: an update in float32 against one in bfloat16, and against one without AdamW.</summary>
    /// <param name="shapes">Names of <see cref="Shapes"/>.</param>
    /// <param name="lengths">Tokens of a text; half of them are the prefix of a model that has one.</param>
    /// <param name="B">Texts of an update.</param>
    /// <param name="rounds">Samples of each contender.</param>
    public static IEnumerable<Row> Run(IReadOnlyList<string> shapes, IEnumerable<long> lengths, long B, int rounds)
    {
        foreach (string shape in shapes)
        {
            using var single = new Update(shape, ScalarType.Float32);
            using var half = new Update(shape, ScalarType.BFloat16);
            foreach (long T in lengths)
            {
                var batch = single.Batch(B, T);
                List<Contender> contenders =
                [
                    new($"{shape} float32", () => single.Run(batch)), new($"{shape} bfloat16", () => half.Run(batch)),
                    new($"{shape} float32 without AdamW", () => single.Gradients(batch)),
                ];
                foreach (var row in Row.Of($"train {shape} float32", new Dictionary<string, long> { ["B"] = B, ["T"] = T }, contenders, Stopwatches.Race(rounds, contenders), _ => double.NaN))
                    yield return row;
            }
        }
    }

    /// <summary>A model and its optimiser.</summary>
    private sealed class Update : IDisposable
    {
        private readonly AdamW optimizer = new(0.9, 0.95, 1e-8, 0.1);
        private readonly Checkpoint checkpoint;
        private readonly IReadOnlyList<TrainedParameter> parameters;
        private long updates;

        public Update(string shape, ScalarType type)
        {
            checkpoint = Checkpoint.New(shape, ConfigJson.Parse(Shapes.Config(shape), shape), new ByteTokenizer(), 1, type);
            checkpoint.Model.train();
            parameters = TrainingSetup.Parameters(checkpoint.Model, decayNorms: true);
        }

        public TrainingBatch Batch(long B, long T)
        {
            var random = new Random(1);
            int prefix = (int)Math.Min(checkpoint.Model.EncoderLength, T / 2), words = (int)checkpoint.Model.VocabularyRows - 1;
            return TrainingBatch.Lay(
                [.. Enumerable.Range(0, (int)B).Select(_ => TokenSequence.OfText([.. Enumerable.Range(0, (int)T).Select(_ => random.Next(words))], prefix))],
                new(prefix > 0 ? Objective.MaskedPrefix : Objective.NextToken, words), random);
        }

        public void Run(TrainingBatch batch)
        {
            Gradients(batch);
            optimizer.Update(parameters, rate: 1e-4, ++updates);
        }

        public void Gradients(TrainingBatch batch)
        {
            using var scope = NewDisposeScope();
            var (loss, _) = PrefixLoss.Of(checkpoint.Model, batch, MaskWeight);
            loss.backward();
            foreach (var parameter in parameters) parameter.TakeGradient(1);
        }

        public void Dispose() => checkpoint.Dispose();
    }
}
