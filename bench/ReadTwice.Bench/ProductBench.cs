using ReadTwice.Kernels;
using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Bench;

/// <summary>Products with packed matrices against libtorch's, and against what the processor and the memory can do.</summary>
/// <remarks>Several rows are measured with one matrix. One row is multiplied with so many that no cache holds them, as a model's do.</remarks>
public static class ProductBench
{
    private const long StreamedBytes = 256L << 20;

    // Float32 sums of up to 4,096 terms in another order; weights and rows rounded to 8 bits; weights rounded to 127 steps.
    private const double Float32Difference = 1e-5, BFloat16Difference = 2e-2, Int8Difference = 5e-2;

    private static readonly (int N, int K)[] shapes = [(1024, 1024), (4096, 1024), (1024, 4096)];

    /// <summary>A row for each peer, number of rows and matrix, as they are measured.</summary>
    /// <param name="rows">Rows that are multiplied at once.</param>
    /// <param name="rounds">Samples of each contender.</param>
    public static IEnumerable<Row> Run(IEnumerable<long> rows, int rounds = 7)
    {
        foreach (long M in rows)
            foreach (var (N, K) in shapes)
                foreach (var row in M == 1 ? One(N, K, rounds) : Many((int)M, N, K, rounds)) yield return row;
    }

    private static List<Row> Many(int M, int N, int K, int rounds)
    {
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        int threads = Libtorch.Threads;
        var given = new Operands(M, N, K);
        using var packed = given.Pack(PackedType.Float32);
        float[] y = new float[M * N];
        var peak = FmaPeak.Contender(threads);
        List<Contender> contenders =
        [
            new("ours", () => packed.Multiply(given.Rows, y, default, threads)), given.Libtorch(ScalarType.Float32), given.Libtorch(ScalarType.BFloat16), peak,
        ];
        double agreement = given.Difference(packed, Float32Difference);
        string bench = $"product with [{N}, {K}], float32";
        var shape = new Dictionary<string, long> { ["T"] = M };
        var times = Stopwatches.Race(rounds, contenders);
        return
        [
            .. Row.Of(bench, shape, contenders, times, i => i == 1 ? agreement : double.NaN).Where(row => row.Peer != peak.Name),
            FmaPeak.Row(bench, shape, times[0], times[^1], 2.0 * M * N * K, threads),
        ];
    }

    private static List<Row> One(int N, int K, int rounds)
    {
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        int threads = Libtorch.Threads;
        using var memory = new ReadSpeed(StreamedBytes);
        var rows = new List<Row>();
        foreach (var (type, difference) in new[] { (PackedType.Float32, Float32Difference), (PackedType.BFloat16, BFloat16Difference), (PackedType.Int8, Int8Difference) })
        {
            using var each = NewDisposeScope();
            var given = new Operands(1, N, K);
            List<PackedMatrix> matrices = [given.Pack(type)];
            int count = (int)(StreamedBytes / matrices[0].Bytes);
            while (matrices.Count < count) matrices.Add(given.Pack(type));
            float[] y = new float[N];
            List<Contender> contenders =
            [
                new("ours", () => matrices.ForEach(matrix => matrix.Multiply(given.Rows, y, default, threads))), memory.Contender(count * matrices[0].Bytes, threads),
            ];
            if (type == PackedType.Float32) contenders.Add(given.Libtorch(ScalarType.Float32, count));
            if (type == PackedType.BFloat16) contenders.Add(given.Libtorch(ScalarType.BFloat16, count));
            double agreement = given.Difference(matrices[0], difference);
            rows.AddRange(Row.Of(
                $"product with [{N}, {K}], {type.ToString().ToLowerInvariant()}", new Dictionary<string, long> { ["T"] = 1, ["matrices"] = count },
                contenders, Stopwatches.Race(rounds, contenders), i => i == 2 ? agreement : double.NaN));
            matrices.ForEach(matrix => matrix.Dispose());
        }
        return rows;
    }

    private sealed class Operands(int M, int N, int K)
    {
        private readonly Tensor x = randn(M, K), weight = randn(N, K);

        public float[] Rows => rows ??= x.data<float>().ToArray();

        private float[]? rows;

        public PackedMatrix Pack(PackedType type) => PackedMatrix.Pack(weight.data<float>().ToArray(), N, K, type);

        /// <summary>The same by libtorch, with this many copies of the matrix.</summary>
        public Contender Libtorch(ScalarType type, int copies = 1)
        {
            var (left, right) = (x.to(type), Enumerable.Range(0, copies).Select(_ => weight.to(type, copy: true)).ToList());
            return new($"libtorch, {type.ToString().ToLowerInvariant()}", () => right.ForEach(each => nn.functional.linear(left, each).Dispose()));
        }

        /// <summary>The largest difference from libtorch's float32, relative to the largest value.</summary>
        public double Difference(PackedMatrix packed, double most)
        {
            float[] y = new float[M * N], theirs = nn.functional.linear(x, weight).data<float>().ToArray();
            packed.Multiply(Rows, y);
            double difference = y.Zip(theirs, (a, b) => Math.Abs(a - b)).Max() / theirs.Max(Math.Abs);
            return Agreement.Within(most, difference, $"products of {packed.Type} weights and libtorch's");
        }
    }
}
