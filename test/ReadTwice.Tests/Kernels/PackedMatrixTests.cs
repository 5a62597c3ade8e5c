using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

/// <summary>Every form of the product against the reference, and what each type of weights promises.</summary>
public class PackedMatrixTests
{
    // Float32 sums of up to 1,100 terms against the reference's, which adds in double, relative to the largest.
    private const float Tolerance = 2e-6f;

    // Every width runs on every processor, if slowly where it is not its own.
    private static readonly ProductKernel[] kernels =
        [new ProductKernel<Lanes512>(), new ProductKernel<Lanes256>(), new ProductKernel<Lanes128>()];

    private static readonly PackedType[] types = Enum.GetValues<PackedType>();

    [Theory, InlineData(1, 1), InlineData(3, 5), InlineData(63, 64), InlineData(64, 63), InlineData(65, 65), InlineData(129, 130)]
    [InlineData(192, 513), InlineData(80, 1100)]
    public void Any_number_of_rows_gives_the_products_of_the_reference(int N, int K)
    {
        foreach (var type in types)
        {
            var operands = new Operands(N, K, type);
            using var matrix = operands.Pack();
            foreach (int M in new[] { 1, 2, 3, 6, 7, 8, 11, 12, 13, 50 })
                foreach (bool biased in new[] { false, true })
                {
                    var (x, bias, expected) = operands.Rows(M, biased);
                    foreach (var kernel in kernels)
                        for (int threads = 1; threads <= 3; threads++)
                        {
                            float[] y = [.. Enumerable.Repeat(float.NaN, M * N)];
                            matrix.Multiply(kernel, x, y, bias, threads);
                            Numbers.Near(expected, y, Tolerance, $"y of {type}, {M} rows, {threads} threads, {kernel}");
                        }
                }
        }
    }

    [Fact]
    public void Many_rows_are_multiplied_block_after_block()
    {
        foreach (var type in types)
        {
            var operands = new Operands(130, 600, type);
            using var matrix = operands.Pack();
            var (x, bias, expected) = operands.Rows(1000, biased: true);
            for (int threads = 1; threads <= 3; threads++)
            {
                float[] y = [.. Enumerable.Repeat(float.NaN, expected.Length)];
                matrix.Multiply(x, y, bias, threads);
                Numbers.Near(expected, y, Tolerance, $"y of {type}, {threads} threads");
            }
        }
    }

    [Theory, InlineData(1, 70, 66), InlineData(7, 70, 66), InlineData(20, 70, 66), InlineData(9, 5, 3)]
    public void Spans_may_start_anywhere_and_nothing_beside_them_is_read_or_written(int M, int N, int K)
    {
        foreach (var type in types)
        {
            var operands = new Operands(N, K, type);
            var (x, bias, expected) = operands.Rows(M, biased: true);
            foreach (var kernel in kernels)
                for (int shift = 1; shift <= 3; shift++)
                {
                    Guarded weight = new(operands.Weight, shift), rows = new(x, shift), b = new(bias, shift), y = new(new float[M * N], shift);
                    using var matrix = PackedMatrix.Pack((In)weight.Span, N, K, type);
                    matrix.Multiply(kernel, rows.Span, y.Span, b.Span, 2);
                    Numbers.Near(expected, y.Span, Tolerance, $"y of {type}, {kernel}");
                    foreach (var guarded in new[] { weight, rows, b, y }) guarded.RequireIntact();
                }
        }
    }

    [Fact]
    public void Weights_given_as_bfloat16_are_packed_as_the_floats_they_stand_for()
    {
        const int N = 70, K = 130;
        ushort[] bits = [.. Numbers.Random(new Random(7), N * K).Select(w => (ushort)(BitConverter.SingleToUInt32Bits(w) >> 16))];
        float[] floats = [.. bits.Select(each => BitConverter.UInt32BitsToSingle((uint)each << 16))];
        foreach (var type in types)
        {
            using var given = PackedMatrix.Pack(bits, N, K, type);
            using var same = PackedMatrix.Pack(floats, N, K, type);
            Assert.Equal(Weights(same), Weights(given));
            if (type != PackedType.Int8) Assert.Equal(floats, Weights(given));
        }
    }

    [Theory, InlineData(PackedType.Float32, 0), InlineData(PackedType.BFloat16, 1 / 256f), InlineData(PackedType.Int8, 1 / 254f)]
    public void Weights_are_kept_as_near_as_their_type_can_tell(PackedType type, float error)
    {
        const int N = 70, K = 200;
        float[] weight = Numbers.Random(new Random(8), N * K, size: 3);
        using var matrix = PackedMatrix.Pack(weight, N, K, type);
        float[] kept = Weights(matrix);
        for (int i = 0; i < kept.Length; i++)
        {
            int group = i / K * K + i % K / 64 * 64, end = Math.Min(group + 64, i / K * K + K);
            float size = type == PackedType.Int8 ? weight[group..end].Max(Math.Abs) : Math.Abs(weight[i]);
            Assert.True(Math.Abs(kept[i] - weight[i]) <= error * size * 1.0001f, $"weight {i} is {weight[i]}, and kept as {kept[i]}");
        }
    }

    [Theory, InlineData(float.NaN), InlineData(float.PositiveInfinity)]
    public void A_weight_that_is_no_finite_number_shows_in_its_output_and_in_no_other(float bad)
    {
        foreach (var type in types)
        {
            var operands = new Operands(70, 130, type);
            operands.Weight[30 * 130 + 100] = bad;
            using var matrix = operands.Pack();
            foreach (int M in new[] { 1, 9 })
            {
                var y = new float[M * 70];
                matrix.Multiply(operands.Rows(M, biased: false).X, y);
                for (int i = 0; i < y.Length; i++) Assert.Equal(i % 70 != 30, float.IsFinite(y[i]));
            }
        }
    }

    [Theory, InlineData(0f), InlineData(1e-33f), InlineData(1e-20f), InlineData(1e30f)]
    public void Weights_of_any_size_are_kept(float size)
    {
        foreach (var type in types)
        {
            var operands = new Operands(5, 70, type, size);
            using var matrix = operands.Pack();
            var (x, _, expected) = operands.Rows(2, biased: false);
            var y = new float[expected.Length];
            matrix.Multiply(x, y);
            Numbers.Near(expected, y, Tolerance, $"y of {type}");
        }
    }

    [Fact]
    public void A_matrix_may_be_disposed_while_others_multiply()
    {
        var operands = new Operands(640, 500, PackedType.BFloat16);
        var (x, bias, expected) = operands.Rows(3, biased: true);
        for (int round = 0; round < 20; round++)
        {
            var matrix = operands.Pack();
            Parallel.For(0, 4, i =>
            {
                try
                {
                    if (i == 3) matrix.Dispose();
                    var y = new float[expected.Length];
                    matrix.Multiply(x, y, bias, 1);
                    Numbers.Near(expected, y, Tolerance, "y");
                }
                catch (ObjectDisposedException)
                {
                    // Too late; what matters is that nobody reads freed memory.
                }
            });
            Assert.Throws<ObjectDisposedException>(() => matrix.Multiply(x, new float[expected.Length], bias));
        }
    }

    [Fact]
    public void No_rows_give_no_products()
    {
        using var matrix = new Operands(3, 4, PackedType.Float32).Pack();
        matrix.Multiply([], [], [1, 2, 3]);
    }

    [Fact]
    public void A_span_of_the_wrong_size_is_named_with_what_it_holds_and_needs()
    {
        using var matrix = PackedMatrix.Pack(new float[6], 2, 3, PackedType.Float32);
        Assert.Equal("x holds 7 values; [2, 3] needs 6.", Message(() => matrix.Multiply(new float[7], new float[4])));
        Assert.Equal("y holds 3 values; [2, 2] needs 4.", Message(() => matrix.Multiply(new float[6], new float[3])));
        Assert.Equal("bias holds 1 values; [2] needs 2.", Message(() => matrix.Multiply(new float[6], new float[4], new float[1])));
        Assert.Equal("weight holds 5 values; [2, 3] needs 6.", Message(() => PackedMatrix.Pack(new float[5], 2, 3, PackedType.Int8)));
        Assert.Equal(
            "A matrix of 0 outputs and 3 inputs cannot be packed; at least one of each is needed.",
            Message(() => PackedMatrix.Pack(Array.Empty<float>(), 0, 3, PackedType.Float32)));

        static string Message(Action call) => Assert.Throws<ArgumentException>(call).Message.Split(" (Parameter")[0];
    }

    // Each row of the unit matrix picks the weights of one input: [N, K].
    private static float[] Weights(PackedMatrix matrix)
    {
        var (N, K) = (matrix.N, matrix.K);
        float[] unit = new float[K * K], y = new float[K * N], weights = new float[N * K];
        for (int k = 0; k < K; k++) unit[k * K + k] = 1;
        matrix.Multiply(unit, y);
        for (int i = 0; i < weights.Length; i++) weights[i] = y[i % K * N + i / K];
        return weights;
    }

    private sealed class Operands(int N, int K, PackedType type, float size = 1)
    {
        private readonly Random random = new(N + K);

        public float[] Weight { get; } = Numbers.Random(new Random(N * K), N * K, size);

        public PackedMatrix Pack() => PackedMatrix.Pack(Weight, N, K, type, threads: 2);

        public (float[] X, float[] Bias, float[] Expected) Rows(int M, bool biased)
        {
            float[] x = Numbers.Random(random, M * K), bias = biased ? Numbers.Random(random, N) : [], expected = new float[M * N];
            PackedMatrix.Reference(Weight, N, K, type, x, expected, bias);
            return (x, bias, expected);
        }
    }
}
