using System.Buffers;
using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

public class TaylorLinearAttentionTests
{
    // float32 sums of some hundred terms, in another order.
    private const float Tolerance = 1e-5f;

    // Every width runs on every processor, if slowly where it is not its own.
    private static readonly TaylorKernel[] kernels =
        [new TaylorKernel<Lanes512>(), new TaylorKernel<Lanes256>(), new TaylorKernel<Lanes128>()];

    public static TheoryData<int, int, int> Sizes()
    {
        int[] lengths = [1, 3, 5, 6, 47, 48, 49, 63, 64, 65, 100, 145];
        var sizes = new TheoryData<int, int, int>();
        int next = 0;
        foreach (int K in new[] { 1, 3, 8, 16, 24 })
            foreach (int V in new[] { 1, 5, 24, 64, 70, 80, 112, 128 })
                sizes.Add(lengths[next++ % lengths.Length], K, V);
        return sizes;
    }

    [Theory, MemberData(nameof(Sizes))]
    public void Every_width_of_register_reads_as_the_reference(int T, int K, int V)
    {
        var run = AttentionRun.Random(new AttentionSizes(2, T, 3, K, V), masked: T % 2 == 0);
        var expected = run.Reference();
        foreach (var kernel in kernels) AttentionRun.Near(expected, run.Forward(kernel), Tolerance, kernel.ToString()!);
    }

    [Fact]
    public void An_empty_state_is_read_as_one_of_zeros()
    {
        var run = AttentionRun.Random(new AttentionSizes(1, 70, 2, 16, 64));
        run = run with { S0 = new float[run.S0.Length], Z0 = new float[run.Z0.Length] };
        var expected = run.Reference();
        foreach (var kernel in kernels) AttentionRun.Near(expected, run.Forward(kernel), Tolerance, kernel.ToString()!);
    }

    [Theory, InlineData(1), InlineData(3), InlineData(48), InlineData(77)]
    public void Two_calls_that_hand_the_state_over_read_as_one(int first)
    {
        var whole = AttentionRun.Random(new AttentionSizes(2, 100, 3, 16, 24), masked: true);
        var expected = whole.Forward();
        var before = whole.Tokens(0, first);
        var read = before.Forward();
        var after = whole.Tokens(first, 100) with { S0 = read.S, Z0 = read.Z };
        var rest = after.Forward();
        Numbers.Near(expected.S, rest.S, Tolerance, "S");
        Numbers.Near(expected.Z, rest.Z, Tolerance, "z");
        Numbers.Near(whole.Part(expected.O, 24, 0, first), read.O, Tolerance, "o before");
        Numbers.Near(whole.Part(expected.O, 24, first, 100), rest.O, Tolerance, "o after");
    }

    [Fact]
    public void A_later_token_changes_no_earlier_output()
    {
        var run = AttentionRun.Random(new AttentionSizes(1, 90, 2, 16, 24));
        var changed = run with { K = [.. run.K], V = [.. run.V] };
        changed.K.AsSpan(60 * 2 * 16).Fill(100);
        changed.V.AsSpan(60 * 2 * 24).Fill(-100);
        Assert.Equal(run.Part(run.Forward().O, 24, 0, 60), run.Part(changed.Forward().O, 24, 0, 60));
    }

    [Fact]
    public void A_token_of_weight_zero_might_as_well_not_be_there()
    {
        var run = AttentionRun.Random(new AttentionSizes(1, 90, 2, 16, 24));
        var masked = run with { Mask = [.. Enumerable.Range(0, 90).Select(t => t is >= 30 and < 60 ? 0f : 1f)] };
        var (expected, read) = (run.Tokens(0, 30).Forward(), masked.Forward());
        var after = (run.Tokens(60, 90) with { S0 = expected.S, Z0 = expected.Z }).Forward();
        Numbers.Near(after.S, read.S, Tolerance, "S");
        Numbers.Near(after.O, run.Part(read.O, 24, 60, 90), Tolerance, "o");
    }

    [Fact]
    public void Where_every_key_has_weight_zero_the_output_is_zero()
    {
        var run = AttentionRun.Random(new AttentionSizes(1, 50, 2, 16, 24));
        run = run with { Mask = new float[50], S0 = new float[run.S0.Length], Z0 = new float[run.Z0.Length] };
        Assert.All(run.Forward().O, o => Assert.Equal(0, o));
        Assert.All(run.Tokens(0, 1).Forward().O, o => Assert.Equal(0, o));
    }

    [Theory, InlineData(1e-41f), InlineData(0f), InlineData(1e4f), InlineData(1e8f)]
    public void Extreme_keys_and_queries_are_read_as_the_reference_reads_them(float size)
    {
        var random = new Random(3);
        foreach (int T in new[] { 2, 70 })
        {
            var run = AttentionRun.Random(new AttentionSizes(1, T, 2, 16, 24));
            // All of one sign: else the products of large values cancel, and either form keeps only a few digits.
            run = run with { Q = [.. run.Q.Select(x => size * Math.Abs(x))], K = [.. run.K.Select(x => size * Math.Abs(x))] };
            var expected = run.Reference();
            Assert.DoesNotContain(expected.O, o => !float.IsFinite(o));
            foreach (var kernel in kernels) AttentionRun.Near(expected, run.Forward(kernel), Tolerance, kernel.ToString()!);
        }
    }

    [Theory, InlineData(1, 3, 5), InlineData(2, 16, 64), InlineData(50, 3, 5), InlineData(50, 16, 64), InlineData(71, 16, 70)]
    public void Spans_may_start_anywhere_and_nothing_beside_them_is_read_or_written(int T, int K, int V)
    {
        var run = AttentionRun.Random(new AttentionSizes(2, T, 3, K, V), masked: true);
        var expected = run.Reference();
        foreach (var kernel in kernels)
            for (int shift = 1; shift <= 3; shift++)
            {
                Guarded q = new(run.Q, shift), k = new(run.K, shift), v = new(run.V, shift), mask = new(run.Mask, shift);
                Guarded S = new(run.S0, shift), z = new(run.Z0, shift);
                Guarded o = new(new float[run.V.Length], shift), den = new(new float[expected.Den.Length], shift);
                TaylorLinearAttention.Simd(
                    kernel, run.Sizes, run.Scale, q.Span, k.Span, v.Span, mask.Span, S.Span, z.Span, o.Span, den.Span, 2);
                var read = new AttentionRun.Results([.. o.Span], [.. den.Span], [.. S.Span], [.. z.Span]);
                AttentionRun.Near(expected, read, Tolerance, kernel.ToString()!);
                foreach (var guarded in new[] { q, k, v, mask, S, z, o, den }) guarded.RequireIntact();
            }
    }

    [Theory, InlineData(1, 3, 5), InlineData(1, 16, 64), InlineData(50, 3, 5), InlineData(50, 16, 64), InlineData(71, 16, 70)]
    public void Memory_may_end_where_a_span_does(int T, int K, int V)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Fences around memory are made for Linux alone.");
        var run = AttentionRun.Random(new AttentionSizes(2, T, 3, K, V), masked: true);
        var read = run.Reference();
        foreach (var kernel in kernels)
            foreach (bool atEnd in new[] { false, true })
            {
                using Fenced q = new(run.Q, atEnd), k = new(run.K, atEnd), v = new(run.V, atEnd), mask = new(run.Mask, atEnd);
                using Fenced S = new(run.S0, atEnd), z = new(run.Z0, atEnd), o = new(read.O, atEnd), den = new(read.Den, atEnd);
                using Fenced dO = new(run.DO, atEnd), dq = new(run.Q, atEnd), dk = new(run.K, atEnd), dv = new(run.V, atEnd);
                using Fenced dS = new(run.DS, atEnd), dz = new(run.DZ, atEnd);
                TaylorLinearAttention.SimdBackward(
                    kernel, run.Sizes, run.Scale, q.Span, k.Span, v.Span, mask.Span, o.Span, den.Span, S.Span, z.Span, dO.Span,
                    [], [], dq.Span, dk.Span, dv.Span, dS.Span, dz.Span, 1);
                TaylorLinearAttention.Simd(
                    kernel, run.Sizes, run.Scale, q.Span, k.Span, v.Span, mask.Span, S.Span, z.Span, o.Span, den.Span, 1);
                Numbers.Near(read.O, o.Span, Tolerance, kernel.ToString()!);
            }
    }

    [Theory, InlineData(3), InlineData(50), InlineData(100)]
    public void What_was_left_in_borrowed_memory_does_not_matter(int T)
    {
        var run = AttentionRun.Random(new AttentionSizes(1, T, 3, 3, 5));
        var read = run.Reference();
        var expected = run.ReferenceBackward(read);
        foreach (var kernel in kernels)
        {
            Poison();
            AttentionRun.Near(read, run.Forward(kernel), Tolerance, kernel.ToString()!);
            Poison();
            AttentionRun.Near(expected, run.Backward(kernel, read), Tolerance, kernel.ToString()!);
        }

        static void Poison()
        {
            for (int size = 16; size <= 1 << 20; size *= 2)
            {
                float[] array = ArrayPool<float>.Shared.Rent(size);
                array.AsSpan().Fill(float.NaN);
                ArrayPool<float>.Shared.Return(array);
            }
        }
    }

    [Theory, InlineData(1, 16), InlineData(1, 1), InlineData(2, 1), InlineData(3, 3)]
    public void The_number_of_threads_changes_the_result_by_rounding_alone(int B, int H)
    {
        var run = AttentionRun.Random(new AttentionSizes(B, 1000, H, 8, 24), P: 700, masked: true);
        var expected = run.Reference();
        foreach (int threads in new[] { 1, 2, 3, 7 })
        {
            var read = run.Forward(threads);
            AttentionRun.Near(expected, read, Tolerance, $"{threads} threads");
            Assert.Equal(read.O, run.Forward(threads).O);
            Assert.Equal(read.S, run.Forward(threads).S);
        }
    }

    [Fact]
    public void Several_callers_may_read_at_once()
    {
        var run = AttentionRun.Random(new AttentionSizes(1, 200, 4, 16, 64));
        var expected = run.Forward(threads: 2);
        Parallel.For(0, 8, _ =>
        {
            for (int i = 0; i < 5; i++) Assert.Equal(expected.O, run.Forward(threads: 2).O);
        });
    }

    [Fact]
    public void The_normalisers_need_not_be_asked_for()
    {
        foreach (int T in new[] { 2, 50 })
        {
            var run = AttentionRun.Random(new AttentionSizes(1, T, 2, 8, 24));
            float[] S = [.. run.S0], z = [.. run.Z0], o = new float[run.V.Length];
            TaylorLinearAttention.Forward(run.Sizes, run.Scale, run.Q, run.K, run.V, [], S, z, o);
            Numbers.Near(run.Reference().O, o, Tolerance, "o");
        }
    }

    [Fact]
    public void A_span_of_the_wrong_size_is_named_with_what_it_holds_and_needs()
    {
        var run = AttentionRun.Random(new AttentionSizes(2, 4, 3, 8, 24));
        Assert.Equal("k holds 191 values; [2, 4, 3, 8] needs 192.", Message(() => (run with { K = run.K[1..] }).Forward()));
        Assert.Equal("mask holds 3 values; [2, 4] needs 8.", Message(() => (run with { Mask = new float[3] }).Forward()));
        Assert.Equal("S holds 1 values; [2, 3, 45, 24] needs 6480.", Message(() => (run with { S0 = [1] }).Forward()));
        Assert.Equal("z holds 1 values; [2, 3, 45] needs 270.", Message(() => (run with { Z0 = [1] }).Forward()));
        Assert.StartsWith("Attention needs sizes of one or more, not ",
            Message(() => (run with { Sizes = run.Sizes with { T = 0 } }).Forward()), StringComparison.Ordinal);

        static string Message(Action call) => Assert.Throws<ArgumentException>(call).Message.Split(" (Parameter")[0];
    }
}
