using ReadTwice.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Bench;

/// <summary>Whole models of random weights: reading a text, and writing token by token.</summary>
public static class ModelBench
{
    private const int Written = 32;

    /// <summary>Reads texts of several lengths, the shortest first; the first shape against each of the others, and the memory that it takes.</summary>
    public static IEnumerable<Row> Prefill(IReadOnlyList<string> shapes, bool bf16, IEnumerable<long> lengths, int rounds)
    {
        using var models = new Models(shapes, bf16);
        long[] all = [.. lengths.Order()];
        // Before any other shape reads: what that takes stays with the process.
        var memory = new ResidentMemory();
        var peaks = all.ToDictionary(T => T, T => memory.PeakOf(() => Read(models.All[0].Checkpoint, T)));
        foreach (long T in all)
        {
            var contenders = models.All.Select(model => new Contender(model.Name, () => Read(model.Checkpoint, T))).ToList();
            foreach (var row in Rows("prefill", models, contenders, new() { ["T"] = T }, rounds)) yield return row with { PeakBytes = peaks[T] };
        }
    }

    /// <summary>Writes tokens one by one after a short text.</summary>
    public static IEnumerable<Row> Decode(IReadOnlyList<string> shapes, bool bf16, int rounds)
    {
        using var models = new Models(shapes, bf16);
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

    private static void Write(Checkpoint checkpoint)
    {
        using var scope = NewDisposeScope();
        using var state = checkpoint.Model.NewState();
        var token = tensor(new long[] { 1 });
        for (int i = 0; i < Written; i++) checkpoint.Model.Step(token, state).Dispose();
    }

    private sealed class Models : IDisposable
    {
        public Models(IReadOnlyList<string> shapes, bool bf16) => All =
            [.. shapes.Select(shape => (shape, Checkpoint.New(shape, ConfigJson.Parse(Shapes.Config(shape), shape), new ByteTokenizer(), 1, bf16 ? ScalarType.BFloat16 : ScalarType.Float32)))];

        public IReadOnlyList<(string Name, Checkpoint Checkpoint)> All { get; }

        public void Dispose()
        {
            foreach (var (_, checkpoint) in All) checkpoint.Dispose();
        }
    }
}
