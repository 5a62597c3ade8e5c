using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

public sealed class ShortConvolutionTests
{
    // Sums of a few products in another order, and a polynomial for the exponential.
    private const float Tolerance = 1e-5f;

    public static TheoryData<int, int, int, int> Sizes
    {
        get
        {
            var sizes = new TheoryData<int, int, int, int>();
            foreach (int T in (int[])[1, 2, 3, 63, 64, 65])
                foreach (int C in (int[])[1, 3, 5, 8, 15, 16, 37, 64]) sizes.Add(2, T, C, 3);
            sizes.Add(1, 2, 20, 1);
            sizes.Add(3, 1, 20, 5);
            sizes.Add(1, 3, 9, 70);
            sizes.Add(1, 700, 530, 4);
            return sizes;
        }
    }

    [Theory, MemberData(nameof(Sizes))]
    public void The_fast_form_gives_what_the_reference_gives(int B, int T, int C, int K)
    {
        foreach (var run in Run.All(new(B, T, C, K)))
            foreach (int threads in (int[])[1, 3])
            {
                float[] state = [.. run.State], y = new float[B * T * C];
                ShortConvolution.Reference(run.Sizes, run.X, run.XRow, run.Weight, run.Bias, run.Silu, run.Gate, run.GateRow, state, y);
                var (fastState, fastY) = (new Guarded(run.State, 1), new Guarded(new float[y.Length], 3));
                ShortConvolution.Forward(
                    run.Sizes, new Guarded(run.X, 1).Span, run.XRow, new Guarded(run.Weight, 2).Span, run.Bias, run.Silu, run.Gate, run.GateRow,
                    fastState.Span, fastY.Span, threads);
                Numbers.Near(y, fastY.Span, Tolerance, "y");
                Numbers.Near(state, fastState.Span, 0, "state");
                fastState.RequireIntact();
                fastY.RequireIntact();
            }
    }

    [Theory, MemberData(nameof(Sizes))]
    public void The_fast_form_gives_the_gradients_of_the_reference(int B, int T, int C, int K)
    {
        foreach (var run in Run.All(new(B, T, C, K)))
            foreach (int threads in (int[])[1, 3])
            {
                var expected = run.Gradients(ShortConvolution.ReferenceBackward);
                var actual = run.Gradients((sizes, x, xRow, weight, bias, silu, gate, gateRow, state, dy, dstate, dx, dweight, dbias, dgate, dstate0) =>
                    ShortConvolution.Backward(
                        sizes, x, xRow, weight, bias, silu, gate, gateRow, state, dy, dstate, dx, dweight, dbias, dgate, dstate0, threads));
                foreach (var (name, values) in expected) Numbers.Near(values, actual[name], Tolerance, name);
            }
    }

    [Fact]
    public void The_reference_gives_the_values_and_gradients_of_the_authors_code()
    {
        var golden = new GoldenFile("short_conv");
        int[] shape = golden.Shape("x"), taps = golden.Shape("weight");
        var sizes = new ConvolutionSizes(shape[0], shape[1], shape[2], taps[2]);
        float[] y = new float[golden["x"].Length], state = Newest(golden["h0"], taps[2]);
        ShortConvolution.Reference(sizes, golden["x"], sizes.C, golden["weight"], golden["bias"], true, [], 0, state, y);
        Numbers.Near(golden["init.o"], y, Tolerance, "y");
        Numbers.Near(Newest(golden["init.ht"], taps[2]), state, 0, "state");

        float[] dx = new float[y.Length], dweight = new float[golden["weight"].Length], dbias = new float[sizes.C], dstate0 = new float[state.Length];
        ShortConvolution.ReferenceBackward(
            sizes, golden["x"], sizes.C, golden["weight"], golden["bias"], true, [], 0, Newest(golden["h0"], taps[2]), golden["do"],
            Newest(golden["dht"], taps[2]), dx, dweight, dbias, [], dstate0);
        // The oldest of their K inputs, which ours leave out, is the first token of the text where the state is asked for.
        float[] expected = golden["init.d.x"], last = golden["dht"];
        for (int b = 0; b < sizes.B; b++)
            for (int c = 0; c < sizes.C; c++) expected[((b + 1) * sizes.T - sizes.K) * sizes.C + c] -= last[(b * sizes.C + c) * sizes.K];
        Numbers.Near(expected, dx, Tolerance, "dx");
        Numbers.Near(golden["init.d.weight"], dweight, Tolerance, "dweight");
        Numbers.Near(golden["init.d.bias"], dbias, Tolerance, "dbias");
        Numbers.Near(Newest(golden["init.d.h0"], taps[2]), dstate0, Tolerance, "dstate");
    }

    [Fact]
    public void Two_calls_that_hand_the_state_over_give_what_one_gives()
    {
        var run = Run.All(new(1, 300, 40, 4)).First();
        foreach (int cut in (int[])[1, 2, 150])
        {
            float[] whole = new float[300 * 40], y = new float[300 * 40], wholeState = [.. run.State], state = [.. run.State];
            ShortConvolution.Forward(run.Sizes, run.X, run.XRow, run.Weight, run.Bias, run.Silu, run.Gate, run.GateRow, wholeState, whole);
            int end = (cut - 1) * run.XRow + 40, gateEnd = (cut - 1) * run.GateRow + 40;
            ShortConvolution.Forward(
                run.Sizes with { T = cut }, run.X.AsSpan(0, end), run.XRow, run.Weight, run.Bias, run.Silu, run.Gate.AsSpan(0, gateEnd), run.GateRow,
                state, y.AsSpan(0, cut * 40));
            ShortConvolution.Forward(
                run.Sizes with { T = 300 - cut }, run.X.AsSpan(cut * run.XRow), run.XRow, run.Weight, run.Bias, run.Silu,
                run.Gate.AsSpan(cut * run.GateRow), run.GateRow, state, y.AsSpan(cut * 40));
            Numbers.Near(whole, y, 0, "y");
            Numbers.Near(wholeState, state, 0, "state");
        }
    }

    [Fact]
    public void Inputs_far_from_zero_stay_numbers()
    {
        float[] x = [-1e30f, -200, -100, -88, 88, 100, 1e30f, 0], y = new float[8];
        ShortConvolution.Forward(new(1, 1, 8, 1), x, 8, [1, 1, 1, 1, 1, 1, 1, 1], [], true, [], 0, [], y);
        Numbers.Near([0, 0, 0, 0, 88, 100], y.AsSpan(0, 6), Tolerance, "y");   // to a sixth: 1e30 would hide all others
        Assert.Equal(1e30f, y[6]);
    }

    [Fact]
    public void Rows_that_do_not_end_where_the_span_does_are_refused()
    {
        var error = Assert.Throws<ArgumentException>(
            () => ShortConvolution.Forward(new(1, 3, 4, 2), new float[12], 5, new float[8], [], false, [], 0, new float[4], new float[12]));
        Assert.Contains("x holds 12 values; 3 rows of 4, 5 apart, need 14", error.Message, StringComparison.Ordinal);
    }

    // Of the authors' K inputs, the last K - 1.
    private static float[] Newest(float[] state, int K) => [.. state.Where((_, i) => i % K != 0)];

    private delegate void Back(
        ConvolutionSizes sizes, In x, int xRow, In weight, In bias, bool silu, In gate, int gateRow, In state, In dy, In dstate,
        Ref dx, Ref dweight, Ref dbias, Ref dgate, Ref dstate0);

    private sealed record Run(ConvolutionSizes Sizes, float[] X, int XRow, float[] Weight, float[] Bias, bool Silu, float[] Gate, int GateRow, float[] State)
    {
        /// <summary>With all that may be there, from rows of two halves, and with nothing.</summary>
        public static IEnumerable<Run> All(ConvolutionSizes sizes)
        {
            var (B, T, C, K) = sizes;
            var random = new Random(B * T * C * K);
            float[] weight = Numbers.Random(random, C * K), state = Numbers.Random(random, B * C * (K - 1));
            float[] both = Numbers.Random(random, 2 * B * T * C, 3);
            yield return new(sizes, both[..^C], 2 * C, weight, Numbers.Random(random, C), true, both[C..], 2 * C, state);
            yield return new(sizes, both[..(B * T * C)], C, weight, [], false, [], 0, state);
        }

        public Dictionary<string, float[]> Gradients(Back back)
        {
            var (B, T, C, K) = Sizes;
            var random = new Random(9);
            float[] dy = Numbers.Random(random, B * T * C), dstate = Silu ? Numbers.Random(random, State.Length) : [];
            Guarded dx = new(dy, 1), dweight = new(Weight, 2), dbias = new(Bias, 3), dgate = new(Gate.Length > 0 ? dy : [], 1), dstate0 = new(State, 2);
            back(
                Sizes, new Guarded(X, 1).Span, XRow, new Guarded(Weight, 1).Span, Bias, Silu, new Guarded(Gate, 1).Span, GateRow, new Guarded(State, 1).Span,
                dy, dstate, dx.Span, dweight.Span, dbias.Span, dgate.Span, dstate0.Span);
            var all = new Dictionary<string, Guarded> { [nameof(dx)] = dx, [nameof(dweight)] = dweight, [nameof(dbias)] = dbias, [nameof(dgate)] = dgate, [nameof(dstate0)] = dstate0 };
            foreach (var gradient in all.Values) gradient.RequireIntact();
            return all.ToDictionary(each => each.Key, each => each.Value.Span.ToArray());
        }
    }
}
