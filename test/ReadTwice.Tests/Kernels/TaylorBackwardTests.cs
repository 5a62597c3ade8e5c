using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

public class TaylorBackwardTests
{
    // float32 sums of some hundred terms, in another order.
    private const float Tolerance = 1e-5f;

    // Every width runs on every processor, if slowly where it is not its own.
    private static readonly TaylorKernel[] kernels =
        [new TaylorKernel<Lanes512>(), new TaylorKernel<Lanes256>(), new TaylorKernel<Lanes128>()];

    [Theory, MemberData(nameof(TaylorLinearAttentionTests.Sizes), MemberType = typeof(TaylorLinearAttentionTests))]
    public void Every_width_of_register_gives_the_gradients_of_the_reference(int T, int K, int V)
    {
        var run = AttentionRun.Random(new AttentionSizes(2, T, 3, K, V), masked: T % 2 == 0);
        var read = run.Reference();
        var expected = run.ReferenceBackward(read);
        foreach (var kernel in kernels) AttentionRun.Near(expected, run.Backward(kernel, read), Tolerance, kernel.ToString()!);
    }

    [Theory, InlineData(1, 49), InlineData(45, 67), InlineData(48, 1), InlineData(130, 100)]
    public void Every_width_of_register_gives_the_gradients_of_a_prefix(int P, int T)
    {
        foreach (bool masked in new[] { false, true })
        {
            var run = AttentionRun.Random(new AttentionSizes(2, T, 3, 16, 24), P, masked);
            var read = run.Reference();
            var expected = run.ReferenceBackward(read);
            foreach (var kernel in kernels) AttentionRun.Near(expected, run.Backward(kernel, read), Tolerance, kernel.ToString()!);
        }
    }

    [Fact]
    public void The_end_of_a_sequence_need_not_have_a_gradient()
    {
        var run = AttentionRun.Random(new AttentionSizes(1, 70, 2, 16, 64)) with { DS = [], DZ = [] };
        run = run with { S0 = new float[run.S0.Length], Z0 = new float[run.Z0.Length] };
        var read = run.Reference();
        var expected = run.ReferenceBackward(read);
        foreach (var kernel in kernels) AttentionRun.Near(expected, run.Backward(kernel, read), Tolerance, kernel.ToString()!);
    }

    [Fact]
    public void Two_calls_that_hand_gradients_back_give_those_of_one()
    {
        var whole = AttentionRun.Random(new AttentionSizes(2, 100, 3, 16, 24), masked: true);
        var expected = whole.Backward(whole.Forward());
        var before = whole.Tokens(0, 37) with { DO = whole.Part(whole.DO, 24, 0, 37) };
        var read = before.Forward();
        var after = whole.Tokens(37, 100) with { S0 = read.S, Z0 = read.Z, DO = whole.Part(whole.DO, 24, 37, 100) };
        var last = after.Backward(after.Forward());
        var first = (before with { DS = last.DS0, DZ = last.DZ0 }).Backward(read);
        Numbers.Near(expected.DS0, first.DS0, Tolerance, "dS0");
        Numbers.Near(expected.DZ0, first.DZ0, Tolerance, "dz0");
        Numbers.Near(whole.Part(expected.DK, 16, 0, 37), first.DK, Tolerance, "dk before");
        Numbers.Near(whole.Part(expected.DQ, 16, 37, 100), last.DQ, Tolerance, "dq after");
        Numbers.Near(whole.Part(expected.DV, 24, 37, 100), last.DV, Tolerance, "dv after");
    }

    [Theory, InlineData(1, 3, 5), InlineData(50, 3, 5), InlineData(50, 16, 64), InlineData(71, 16, 70)]
    public void Spans_may_start_anywhere_and_nothing_beside_them_is_read_or_written(int T, int K, int V)
    {
        var run = AttentionRun.Random(new AttentionSizes(2, T, 3, K, V), masked: true);
        var read = run.Reference();
        var expected = run.ReferenceBackward(read);
        foreach (var kernel in kernels)
        {
            Guarded q = new(run.Q, 1), k = new(run.K, 2), v = new(run.V, 3), mask = new(run.Mask, 1), o = new(read.O, 2);
            Guarded den = new(read.Den, 3), S0 = new(run.S0, 1), z0 = new(run.Z0, 2), dO = new(run.DO, 3);
            Guarded dq = new(new float[run.Q.Length], 1), dk = new(new float[run.K.Length], 2), dv = new(new float[run.V.Length], 3);
            Guarded dS0 = new(new float[run.S0.Length], 1), dz0 = new(new float[run.Z0.Length], 2);
            TaylorLinearAttention.SimdBackward(
                kernel, run.Sizes, run.Scale, q.Span, k.Span, v.Span, mask.Span, o.Span, den.Span, S0.Span, z0.Span, dO.Span,
                run.DS, run.DZ, dq.Span, dk.Span, dv.Span, dS0.Span, dz0.Span, 2);
            var gradients = new AttentionRun.Gradients(
                [], [], [.. dq.Span], [.. dk.Span], [.. dv.Span], [.. dS0.Span], [.. dz0.Span]);
            AttentionRun.Near(expected, gradients, Tolerance, kernel.ToString()!);
            foreach (var guarded in new[] { q, k, v, mask, o, den, S0, z0, dO, dq, dk, dv, dS0, dz0 }) guarded.RequireIntact();
        }
    }

    [Theory, InlineData(1, 16), InlineData(1, 1), InlineData(3, 1)]
    public void The_number_of_threads_changes_the_gradients_by_rounding_alone(int B, int H)
    {
        var run = AttentionRun.Random(new AttentionSizes(B, 1000, H, 8, 24), P: 700, masked: true);
        var read = run.Forward();
        var expected = run.ReferenceBackward(read);
        foreach (int threads in new[] { 1, 2, 3, 7 })
        {
            var gradients = run.Backward(read, threads);
            AttentionRun.Near(expected, gradients, Tolerance, $"{threads} threads");
            Assert.Equal(gradients.DK, run.Backward(read, threads).DK);
        }
    }

    [Fact]
    public void A_span_of_the_wrong_size_is_named_with_what_it_holds_and_needs()
    {
        var run = AttentionRun.Random(new AttentionSizes(2, 4, 3, 8, 24), P: 5);
        var read = run.Forward();
        Assert.Equal("dO holds 3 values; [2, 4, 3, 24] needs 576.", Message(() => (run with { DO = new float[3] }).Backward(read)));
        Assert.Equal("den holds 3 values; [2, 4, 3] needs 24.", Message(() => run.Backward(read with { Den = new float[3] })));
        Assert.Equal("dS holds 3 values; [2, 3, 45, 24] needs 6480.", Message(() => (run with { DS = new float[3] }).Backward(read)));
        Assert.Equal("dz holds 3 values; [2, 3, 45] needs 270.", Message(() => (run with { DZ = new float[3] }).Backward(read)));

        static string Message(Action call) => Assert.Throws<ArgumentException>(call).Message.Split(" (Parameter")[0];
    }
}
