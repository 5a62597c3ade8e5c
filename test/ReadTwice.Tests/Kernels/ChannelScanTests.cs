using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

/// <summary>The selective scan and Longhorn, whose fast forms are one.</summary>
public class ChannelScanTests
{
    // float32 sums over tokens and states, in another order.
    private const float Tolerance = 1e-5f;

    // Every width runs on every processor, if slowly where it is not its own.
    private static readonly ChannelKernel[] selective =
        [new ChannelKernel<Lanes512, ExponentialDecay>(), new ChannelKernel<Lanes256, ExponentialDecay>(), new ChannelKernel<Lanes128, ExponentialDecay>()];

    private static readonly ChannelKernel[] longhorn =
        [new ChannelKernel<Lanes512, ForgettingByKey>(), new ChannelKernel<Lanes256, ForgettingByKey>(), new ChannelKernel<Lanes128, ForgettingByKey>()];

    public static TheoryData<bool, int, int, int> Sizes()
    {
        int[] lengths = [1, 3, 15, 16, 17, 63, 64, 65, 130];
        var sizes = new TheoryData<bool, int, int, int>();
        int next = 0;
        foreach (int I in new[] { 1, 5, 16, 37, 64 })
            foreach (int N in new[] { 1, 7, 8, 16, 19 })
                foreach (bool isLonghorn in new[] { false, true }) sizes.Add(isLonghorn, lengths[next++ % lengths.Length], I, N);
        return sizes;
    }

    [Theory, MemberData(nameof(Sizes))]
    public void Every_width_of_register_reads_as_the_reference(bool isLonghorn, int T, int I, int N)
    {
        var run = ChannelRun.Random(new(2, T, I, N), isLonghorn);
        var expected = run.Reference();
        foreach (var kernel in isLonghorn ? longhorn : selective)
            ChannelRun.Near(expected, run.Forward(kernel), Tolerance, kernel.ToString()!);
    }

    [Theory, MemberData(nameof(Sizes))]
    public void Every_width_of_register_gives_the_gradients_of_the_reference(bool isLonghorn, int T, int I, int N)
    {
        var run = ChannelRun.Random(new(2, T, I, N), isLonghorn);
        var expected = run.ReferenceBackward();
        foreach (var kernel in isLonghorn ? longhorn : selective)
            ChannelRun.Near(expected, run.Backward(kernel), Tolerance, kernel.ToString()!);
    }

    [Theory, InlineData(false, 1), InlineData(false, 64), InlineData(false, 77), InlineData(true, 1), InlineData(true, 64), InlineData(true, 77)]
    public void Two_calls_that_hand_the_state_over_read_as_one(bool isLonghorn, int first)
    {
        var whole = ChannelRun.Random(new(2, 100, 21, 16), isLonghorn);
        var expected = whole.Forward();
        var before = whole.Tokens(0, first, whole.H0).Forward();
        var after = whole.Tokens(first, 100, before.H).Forward();
        Numbers.Near(expected.H, after.H, Tolerance, "h");
        Numbers.Near(whole.Part(expected.Y, 21, 0, first), before.Y, Tolerance, "y before");
        Numbers.Near(whole.Part(expected.Y, 21, first, 100), after.Y, Tolerance, "y after");
    }

    [Theory, InlineData(false), InlineData(true)]
    public void The_number_of_threads_changes_the_result_by_rounding_alone(bool isLonghorn)
    {
        var run = ChannelRun.Random(new(2, 300, 80, 16), isLonghorn);
        var (expected, gradients) = (run.Forward(), run.ReferenceBackward());
        var kernel = (isLonghorn ? longhorn : selective)[0];
        foreach (int threads in new[] { 2, 3, 7 })
        {
            Assert.Equal(expected.Y, run.Forward(threads).Y);
            ChannelRun.Near(gradients, run.Backward(kernel, threads), Tolerance, $"{threads} threads");
        }
    }

    [Theory, InlineData(0f), InlineData(1e-30f), InlineData(100f), InlineData(1e30f)]
    public void Steps_of_any_size_are_read_as_the_reference_reads_them(float size)
    {
        var run = ChannelRun.Random(new(1, 50, 20, 9), longhorn: false);
        run = run with { Step = [.. run.Step.Select(step => step * size)] };
        var expected = run.Reference();
        foreach (var kernel in selective) ChannelRun.Near(expected, run.Forward(kernel), Tolerance, kernel.ToString()!);
    }

    [Theory, InlineData(false), InlineData(true)]
    public void Spans_may_start_anywhere_and_nothing_beside_them_is_read_or_written(bool isLonghorn)
    {
        var run = ChannelRun.Random(new(2, 19, 21, 11), isLonghorn);
        var expected = run.Reference();
        foreach (var kernel in isLonghorn ? longhorn : selective)
            for (int shift = 1; shift <= 3; shift++)
            {
                Guarded x = new(run.X, shift), step = new(run.Step, shift), A = new(run.A, shift), write = new(run.Write, shift);
                Guarded read = new(run.Read, shift), skip = new(run.Skip, shift), h = new(run.H0, shift), y = new(new float[run.X.Length], shift);
                kernel.Read(run.Sizes, x.Span, step.Span, A.Span, write.Span, read.Span, skip.Span, h.Span, y.Span, 2);
                ChannelRun.Near(expected, new([.. y.Span], [.. h.Span]), Tolerance, kernel.ToString()!);
                foreach (var guarded in new[] { x, step, A, write, read, skip, h, y }) guarded.RequireIntact();
            }
    }

    [Theory, InlineData(false), InlineData(true)]
    public void Memory_may_end_where_a_span_does(bool isLonghorn)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Fences around memory are made for Linux alone.");
        var run = ChannelRun.Random(new(2, 19, 21, 11), isLonghorn);
        var (expected, gradients) = (run.Reference(), run.ReferenceBackward());
        foreach (var kernel in isLonghorn ? longhorn : selective)
            foreach (bool atEnd in new[] { false, true })
            {
                using Fenced x = new(run.X, atEnd), step = new(run.Step, atEnd), A = new(run.A, atEnd), write = new(run.Write, atEnd);
                using Fenced read = new(run.Read, atEnd), skip = new(run.Skip, atEnd), h = new(run.H0, atEnd), y = new(run.DY, atEnd);
                using Fenced dx = new(run.X, atEnd), dStep = new(run.Step, atEnd), dA = new(run.A, atEnd), dWrite = new(run.Write, atEnd);
                using Fenced dRead = new(run.Read, atEnd), dSkip = new(run.Skip, atEnd), dh = new(run.DH, atEnd), dh0 = new(run.H0, atEnd);
                kernel.Backward(
                    run.Sizes, x.Span, step.Span, A.Span, write.Span, read.Span, skip.Span, h.Span, y.Span, dh.Span,
                    dx.Span, dStep.Span, dA.Span, dWrite.Span, dRead.Span, dSkip.Span, dh0.Span, 1);
                Numbers.Near(gradients.DX, dx.Span, Tolerance, kernel.ToString()!);
                kernel.Read(run.Sizes, x.Span, step.Span, A.Span, write.Span, read.Span, skip.Span, h.Span, y.Span, 1);
                Numbers.Near(expected.Y, y.Span, Tolerance, kernel.ToString()!);
            }
    }

    [Theory, InlineData(false, 3), InlineData(true, 3), InlineData(false, 70), InlineData(true, 70)]
    public void What_was_left_in_borrowed_memory_does_not_matter(bool isLonghorn, int T)
    {
        var run = ChannelRun.Random(new(1, T, 21, 11), isLonghorn);
        var (expected, gradients) = (run.Reference(), run.ReferenceBackward());
        foreach (var kernel in isLonghorn ? longhorn : selective)
        {
            BorrowedMemory.Poison();
            ChannelRun.Near(expected, run.Forward(kernel), Tolerance, kernel.ToString()!);
            BorrowedMemory.Poison();
            ChannelRun.Near(gradients, run.Backward(kernel), Tolerance, kernel.ToString()!);
        }
    }

    [Fact]
    public void The_references_give_the_outputs_and_gradients_of_the_authors_code()
    {
        var golden = new GoldenFile("longhorn");
        int[] shape = golden.Shape("x");
        float[] k = golden["k"];
        int N = golden.Shape("k")[2];
        float[] e = [.. golden["t"].Select((t, at) => Step(t, k.AsSpan(at / shape[2] * N, N)))];
        var run = new ChannelRun(new(shape[0], shape[1], shape[2], N))
        {
            X = golden["x"],
            Step = e,
            Write = k,
            Read = golden["q"],
            Skip = golden["D"],
            H0 = golden["h0"],
            DY = golden["do"],
            DH = golden["dht"],
        };
        var (results, gradients) = (run.Reference(), run.ReferenceBackward());
        Numbers.Near(golden["init.o"], results.Y, Tolerance, "y");
        Numbers.Near(golden["init.ht"], results.H, Tolerance, "S");
        Numbers.Near(golden["init.d.x"], gradients.DX, Tolerance, "dx");
        Numbers.Near(golden["init.d.q"], gradients.DRead, Tolerance, "dq");
        Numbers.Near(golden["init.d.h0"], gradients.DH0, Tolerance, "dS0");

        static float Step(float t, In k)
        {
            float beta = 1 / (1 + MathF.Exp(-t)), norm = 0;
            foreach (float each in k) norm += each * each;
            return beta / (1 + beta * norm);
        }
    }
}
