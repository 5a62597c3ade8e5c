using ReadTwice.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Bench;

/// <summary>Which models are raced, the first against each of the others, and how their weights are kept.</summary>
public sealed record BenchedModels(IReadOnlyList<string> Shapes, bool BFloat16, Quantization Quantization);

/// <summary>Whole models of random weights: reading a text, and writing token by token.</summary>
public static class ModelBench
{
    private const int Written = 32;

    /// <summary>
    /// Reads texts of several lengths, the shortest first; the first shape against each of the others, against the products of its own
    /// matrices, and the memory that it takes.
    /// </summary>
    public static IEnumerable<Row> Prefill(BenchedModels benched, IEnumerable<long> lengths, int rounds)
    {
        using var models = new Models(benched);
        long[] all = [.. lengths.Order()];
        // Before any other shape reads: what that takes stays with the process.
        var memory = new ResidentMemory();
        var peaks = all.ToDictionary(T => T, T => memory.PeakOf(() => Read(models.All[0].Checkpoint, T)));
        foreach (long T in all)
            foreach (var row in Prefill(models, T, rounds)) yield return row with { PeakBytes = peaks[T] };
    }

    private static List<Row> Prefill(Models models, long T, int rounds)
    {
        using var scope = NewDisposeScope();
        List<Contender> contenders =
        [
            .. models.All.Select(model => new Contender(model.Name, () => Read(model.Checkpoint, T))),
            Products(models.All[0].Name, models.All[0].Checkpoint.Model, T),
        ];
        return [.. Rows("prefill", models, contenders, new() { ["T"] = T }, rounds)];
    }

    /// <summary>Writes tokens one by one after a short text.</summary>
    public static IEnumerable<Row> Decode(BenchedModels benched, int rounds)
    {
        using var models = new Models(benched);
        var contenders = models.All.Select(model => new Contender(model.Name, () => Write(model.Checkpoint))).ToList();
        foreach (var row in Rows("decode", models, contenders, new() { ["T"] = Written }, rounds)) yield return row;
    }

    // A shape alone is compared with itself, so that its time is shown.
    private static IEnumerable<Row> Rows(string bench, Models models, List<Contender> contenders, Dictionary<string, long> shape, int rounds)
    {
        if (contenders.Count == 1) contenders.Add(contenders[0]);
        var times = Stopwatches.Race(rounds, contenders);
        return Row.Of($"{bench} {models.All[0].Name}", shape, contenders, times, _ => double.NaN);
    }

    private static void Read(Checkpoint checkpoint, long T)
    {
        using var state = checkpoint.Model.NewState();
        int[] tokens = [.. Enumerable.Range(0, (int)T).Select(i => (int)(i * 7919L % checkpoint.Model.VocabularyRows))];
        new Generator(checkpoint.Model, checkpoint.Tokenizer).Read(state, tokens);
    }

    /// <summary>What no mixer can be faster than: the layers' matrices times random activations of the pieces that a text is read in.</summary>
    private static Contender Products(string name, LanguageModel model, long T)
    {
        var layers = model.Blocks.SelectMany(block => block.modules()).OfType<Layers.Linear>().ToList();
        var inputs = layers.Select(layer => layer.Weight.size(1)).Distinct().ToDictionary(width => width, width => randn(1, Math.Min(T, Generator.Piece), width));
        return new($"{name}, its matrix products alone", () =>
        {
            using var scope = NewDisposeScope();
            using var inference = no_grad();
            for (long at = 0; at < T; at += Generator.Piece)
                foreach (var layer in layers) layer.call(inputs[layer.Weight.size(1)].narrow(1, 0, Math.Min(Generator.Piece, T - at))).Dispose();
        });
    }

    private static void Write(Checkpoint checkpoint)
    {
        using var scope = NewDisposeScope();
        using var state = checkpoint.Model.NewState();
        var token = tensor(new long[] { 1 });
        for (int i = 0; i < Written; i++) checkpoint.Model.Step(token, state).Dispose();
    }

    private sealed class Models : IDisposable
    {
        public Models(BenchedModels benched) => All = [.. benched.Shapes.Select(shape => (shape, Checkpoint.New(
            shape, ConfigJson.Parse(Shapes.Config(shape), shape), new ByteTokenizer(), 1, benched.BFloat16 ? ScalarType.BFloat16 : ScalarType.Float32, benched.Quantization)))];

        public IReadOnlyList<(string Name, Checkpoint Checkpoint)> All { get; }

        public void Dispose()
        {
            foreach (var (_, checkpoint) in All) checkpoint.Dispose();
        }
    }
}
