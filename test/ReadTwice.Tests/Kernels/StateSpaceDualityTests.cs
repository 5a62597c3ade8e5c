using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

public class StateSpaceDualityTests
{
    // float32 sums over tokens and states, in another order.
    private const float Tolerance = 1e-5f;

    // A decay's gradient is the difference of two sums over the tokens after it, each up to as many times as large.
    private const float DecayTolerance = 2e-5f;

    // Every width runs on every processor, if slowly where it is not its own.
    private static readonly HeadKernel[] kernels = [new HeadKernel<Lanes512>(), new HeadKernel<Lanes256>(), new HeadKernel<Lanes128>()];

    public static TheoryData<int, int, int> Sizes()
    {
        int[] lengths = [1, 3, 31, 32, 33, 63, 64, 65, 100];
        var sizes = new TheoryData<int, int, int>();
        int next = 0;
        foreach (int P in new[] { 1, 5, 8, 16, 24, 48, 64 })
            foreach (int N in new[] { 1, 7, 8, 16, 20 }) sizes.Add(lengths[next++ % lengths.Length], P, N);
        return sizes;
    }

    [Theory, MemberData(nameof(Sizes))]
    public void Every_width_of_register_reads_as_the_reference(int T, int P, int N)
    {
        var run = Run.Random(new(2, T, 4, P, 2, N), skipPerChannel: T % 2 == 0);
        var expected = run.Reference();
        foreach (var kernel in kernels) Near(expected, run.Forward(kernel), kernel.ToString()!);
    }

    [Theory, MemberData(nameof(Sizes))]
    public void Every_width_of_register_gives_the_gradients_of_the_reference(int T, int P, int N)
    {
        var run = Run.Random(new(2, T, 4, P, 2, N), skipPerChannel: T % 2 == 0);
        var expected = run.ReferenceBackward();
        foreach (var kernel in kernels) Near(expected, run.Backward(kernel), kernel.ToString()!);
    }

    [Theory, InlineData(1), InlineData(32), InlineData(77)]
    public void Two_calls_that_hand_the_state_over_read_as_one(int first)
    {
        var whole = Run.Random(new(2, 100, 4, 24, 2, 16));
        var expected = whole.Forward(kernels[0]);
        var before = whole.Tokens(0, first, whole.S0).Forward(kernels[0]);
        var after = whole.Tokens(first, 100, before.S).Forward(kernels[0]);
        Numbers.Near(expected.S, after.S, Tolerance, "S");
        Numbers.Near(whole.Part(expected.Y, 96, 0, first), before.Y, Tolerance, "y before");
        Numbers.Near(whole.Part(expected.Y, 96, first, 100), after.Y, Tolerance, "y after");
    }

    [Theory, InlineData(0f), InlineData(1e-6f), InlineData(5f), InlineData(100f), InlineData(1e4f)]
    public void Decays_of_any_size_are_read_as_the_reference_reads_them(float size)
    {
        var run = Run.Random(new(1, 90, 2, 20, 1, 9));
        run = run with { A = [.. run.A.Select(a => a * size)] };
        var (expected, gradients) = (run.Reference(), run.ReferenceBackward());
        foreach (var kernel in kernels)
        {
            Near(expected, run.Forward(kernel), kernel.ToString()!);
            if (size < 10) Near(gradients, run.Backward(kernel), kernel.ToString()!);
        }
    }

    [Fact]
    public void A_decay_that_leaves_nothing_has_no_gradient()
    {
        var run = Run.Random(new(1, 90, 2, 20, 1, 9));
        run = run with { A = [-300, -1e30f], Delta = [.. run.Delta.Select(step => step + 0.1f)] };
        var expected = run.ReferenceBackward();
        foreach (var kernel in kernels)
        {
            var gradients = run.Backward(kernel);
            Assert.All(gradients.DA, gradient => Assert.Equal(0, gradient));
            Near(expected with { DA = gradients.DA }, gradients, kernel.ToString()!);
        }
    }

    [Fact]
    public void A_token_that_wipes_the_state_hides_all_before_it_and_nothing_after()
    {
        var run = Run.Random(new(1, 90, 2, 20, 1, 9));
        run = run with { Delta = [.. run.Delta.Select((step, at) => at / 2 % 10 == 3 ? 300 : step)] };
        var expected = run.Reference();
        foreach (var kernel in kernels) Near(expected, run.Forward(kernel), kernel.ToString()!);
    }

    [Fact]
    public void The_number_of_threads_changes_no_output()
    {
        var run = Run.Random(new(2, 200, 4, 24, 2, 16));
        var (expected, gradients) = (run.Forward(kernels[0]), run.ReferenceBackward());
        foreach (int threads in new[] { 2, 3, 7 })
        {
            Assert.Equal(expected.Y, run.Forward(kernels[0], threads).Y);
            Near(gradients, run.Backward(kernels[0], threads), $"{threads} threads");
        }
    }

    [Fact]
    public void Spans_may_start_anywhere_and_nothing_beside_them_is_read_or_written()
    {
        var run = Run.Random(new(2, 19, 4, 21, 2, 11));
        var expected = run.Reference();
        foreach (var kernel in kernels)
            for (int shift = 1; shift <= 3; shift++)
            {
                Guarded x = new(run.X, shift), delta = new(run.Delta, shift), A = new(run.A, shift), b = new(run.Bt, shift), c = new(run.Ct, shift);
                Guarded D = new(run.D, shift), S = new(run.S0, shift), y = new(new float[run.X.Length], shift);
                StateSpaceDuality.Simd(kernel, run.Sizes, x.Span, delta.Span, A.Span, b.Span, c.Span, D.Span, S.Span, y.Span, 2);
                Near(expected, new([.. y.Span], [.. S.Span]), kernel.ToString()!);
                foreach (var guarded in new[] { x, delta, A, b, c, D, S, y }) guarded.RequireIntact();
            }
    }

    [Theory, InlineData(21, 11), InlineData(64, 16)]
    public void Memory_may_end_where_a_span_does(int P, int N)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Fences around memory are made for Linux alone.");
        var run = Run.Random(new(2, 35, 4, P, 2, N), skipPerChannel: true);
        var (expected, gradients) = (run.Reference(), run.ReferenceBackward());
        foreach (var kernel in kernels)
            foreach (bool atEnd in new[] { false, true })
            {
                using Fenced x = new(run.X, atEnd), delta = new(run.Delta, atEnd), A = new(run.A, atEnd), b = new(run.Bt, atEnd), c = new(run.Ct, atEnd);
                using Fenced D = new(run.D, atEnd), S = new(run.S0, atEnd), y = new(run.DY, atEnd), after = new(expected.S, atEnd), dS = new(run.DS, atEnd);
                using Fenced dx = new(run.X, atEnd), dDelta = new(run.Delta, atEnd), dA = new(run.A, atEnd), db = new(run.Bt, atEnd), dc = new(run.Ct, atEnd);
                using Fenced dD = new(run.D, atEnd), dS0 = new(run.S0, atEnd);
                StateSpaceDuality.SimdBackward(
                    kernel, run.Sizes, x.Span, delta.Span, A.Span, b.Span, c.Span, D.Span, S.Span, after.Span, y.Span, dS.Span,
                    dx.Span, dDelta.Span, dA.Span, db.Span, dc.Span, dD.Span, dS0.Span, 1);
                Numbers.Near(gradients.DX, dx.Span, Tolerance, kernel.ToString()!);
                StateSpaceDuality.Simd(kernel, run.Sizes, x.Span, delta.Span, A.Span, b.Span, c.Span, D.Span, S.Span, y.Span, 1);
                Numbers.Near(expected.Y, y.Span, Tolerance, kernel.ToString()!);
            }
    }

    [Theory, InlineData(3), InlineData(70)]
    public void What_was_left_in_borrowed_memory_does_not_matter(int T)
    {
        var run = Run.Random(new(1, T, 2, 21, 1, 11));
        var (expected, gradients) = (run.Reference(), run.ReferenceBackward());
        foreach (var kernel in kernels)
        {
            BorrowedMemory.Poison();
            Near(expected, run.Forward(kernel), kernel.ToString()!);
            BorrowedMemory.Poison();
            Near(gradients, run.Backward(kernel), kernel.ToString()!);
        }
    }

    [Fact]
    public void Groups_that_do_not_divide_the_heads_are_refused()
    {
        var run = Run.Random(new(1, 2, 4, 3, 2, 5));
        var error = Assert.Throws<ArgumentException>(
            () => StateSpaceDuality.Forward(run.Sizes with { G = 3 }, run.X, run.Delta, run.A, run.Bt, run.Ct, run.D, run.S0, run.X));
        Assert.Contains("heads that divide into the groups", error.Message, StringComparison.Ordinal);
    }

    private static void Near(Results expected, Results actual, string what)
    {
        Numbers.Near(expected.Y, actual.Y, Tolerance, $"{what} y");
        Numbers.Near(expected.S, actual.S, Tolerance, $"{what} S");
    }

    private static void Near(Gradients expected, Gradients actual, string what)
    {
        Numbers.Near(expected.DX, actual.DX, Tolerance, $"{what} dx");
        Numbers.Near(expected.DDelta, actual.DDelta, DecayTolerance, $"{what} ddelta");
        Numbers.Near(expected.DA, actual.DA, DecayTolerance, $"{what} dA");
        Numbers.Near(expected.DB, actual.DB, Tolerance, $"{what} dB");
        Numbers.Near(expected.DC, actual.DC, Tolerance, $"{what} dC");
        Numbers.Near(expected.DD, actual.DD, Tolerance, $"{what} dD");
        Numbers.Near(expected.DS0, actual.DS0, Tolerance, $"{what} dS0");
    }

    private sealed record Results(float[] Y, float[] S);

    private sealed record Gradients(float[] DX, float[] DDelta, float[] DA, float[] DB, float[] DC, float[] DD, float[] DS0);

    private sealed record Run(
        DualitySizes Sizes, float[] X, float[] Delta, float[] A, float[] Bt, float[] Ct, float[] D, float[] S0, float[] DY, float[] DS)
    {
        public static Run Random(DualitySizes sizes, bool skipPerChannel = false)
        {
            var random = new Random(sizes.T * sizes.P + sizes.N);
            var (B, T, H, P, G, N) = sizes;
            return new(
                sizes, Numbers.Random(random, B * T * H * P), [.. Enumerable.Range(0, B * T * H).Select(_ => random.NextSingle())],
                [.. Enumerable.Range(0, H).Select(_ => -random.NextSingle())], Numbers.Random(random, B * T * G * N), Numbers.Random(random, B * T * G * N),
                Numbers.Random(random, skipPerChannel ? H * P : H), Numbers.Random(random, B * H * N * P), Numbers.Random(random, B * T * H * P),
                Numbers.Random(random, B * H * N * P));
        }

        public Run Tokens(int from, int to, float[] state) => this with
        {
            Sizes = Sizes with { T = to - from },
            X = Part(X, Sizes.H * Sizes.P, from, to),
            Delta = Part(Delta, Sizes.H, from, to),
            Bt = Part(Bt, Sizes.G * Sizes.N, from, to),
            Ct = Part(Ct, Sizes.G * Sizes.N, from, to),
            S0 = state,
        };

        public float[] Part(float[] values, int width, int from, int to) =>
            [.. Enumerable.Range(0, Sizes.B).SelectMany(b => values[((b * Sizes.T + from) * width)..((b * Sizes.T + to) * width)])];

        public Results Reference()
        {
            var (y, S) = (Unwritten(X.Length), (float[])[.. S0]);
            StateSpaceDuality.Reference(Sizes, X, Delta, A, Bt, Ct, D, S, y);
            return new(y, S);
        }

        public Results Forward(HeadKernel kernel, int threads = 1)
        {
            var (y, S) = (Unwritten(X.Length), (float[])[.. S0]);
            StateSpaceDuality.Simd(kernel, Sizes, X, Delta, A, Bt, Ct, D, S, y, threads);
            return new(y, S);
        }

        public Gradients ReferenceBackward()
        {
            var to = NewGradients();
            StateSpaceDuality.ReferenceBackward(
                Sizes, X, Delta, A, Bt, Ct, D, S0, DY, DS, to.DX, to.DDelta, to.DA, to.DB, to.DC, to.DD, to.DS0);
            return to;
        }

        public Gradients Backward(HeadKernel kernel, int threads = 1)
        {
            var to = NewGradients();
            StateSpaceDuality.SimdBackward(
                kernel, Sizes, X, Delta, A, Bt, Ct, D, S0, Reference().S, DY, DS, to.DX, to.DDelta, to.DA, to.DB, to.DC, to.DD, to.DS0, threads);
            return to;
        }

        private Gradients NewGradients() => new(
            Unwritten(X.Length), Unwritten(Delta.Length), Unwritten(A.Length), Unwritten(Bt.Length), Unwritten(Ct.Length), Unwritten(D.Length),
            Unwritten(S0.Length));

        // What a kernel must overwrite starts as NaN.
        private static float[] Unwritten(int count)
        {
            var values = new float[count];
            values.AsSpan().Fill(float.NaN);
            return values;
        }
    }
}
