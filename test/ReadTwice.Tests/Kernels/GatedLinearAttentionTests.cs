using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

public class GatedLinearAttentionTests
{
    // float32 sums of some hundred terms, in another order.
    private const float Tolerance = 1e-5f;

    // Every width runs on every processor, if slowly where it is not its own.
    private static readonly GatedKernel[] kernels =
        [new GatedKernel<Lanes512>(), new GatedKernel<Lanes256>(), new GatedKernel<Lanes128>()];

    public static TheoryData<int, int, int> Sizes()
    {
        int[] lengths = [1, 2, 3, 31, 32, 33, 63, 64, 65];
        var sizes = new TheoryData<int, int, int>();
        sizes.Add(1, 16, 64);
        sizes.Add(2, 16, 128);
        int next = 0;
        foreach (int K in new[] { 1, 2, 16, 19 })
            foreach (int V in new[] { 1, 5, 16, 24, 40, 64, 70, 130 })
                sizes.Add(lengths[next++ % lengths.Length], K, V);
        return sizes;
    }

    public static TheoryData<string> Operators => ["gla", "simple_gla", "linear_attn"];

    [Theory, MemberData(nameof(Sizes))]
    public void Every_width_of_register_reads_as_the_reference(int T, int K, int V)
    {
        foreach (var fading in Enum.GetValues<Fading>())
        {
            var run = GatedRun.Random(new(2, T, 3, K, V), fading);
            foreach (var kernel in kernels) Near(run.Reference(), run.Forward(kernel), $"{kernel}, {fading}");
        }
    }

    [Theory, InlineData(1), InlineData(32), InlineData(45)]
    public void Two_calls_that_hand_the_state_over_read_as_one(int first)
    {
        foreach (var fading in Enum.GetValues<Fading>())
        {
            var whole = GatedRun.Random(new(2, 77, 3, 16, 24), fading);
            var expected = whole.Forward();
            var (o1, state) = whole.Tokens(0, first, whole.S0).Forward();
            var (o2, last) = whole.Tokens(first, 77, state).Forward();
            Numbers.Near(expected.S, last, Tolerance, "S");
            Numbers.Near(whole.Part(expected.O, 0, first), o1, Tolerance, "o before");
            Numbers.Near(whole.Part(expected.O, first, 77), o2, Tolerance, "o after");
        }
    }

    [Fact]
    public void Threads_change_nothing()
    {
        foreach (var fading in Enum.GetValues<Fading>())
        {
            var run = GatedRun.Random(new(1, 50, 2, 20, 150), fading);
            var expected = run.Forward();
            foreach (int threads in (int[])[2, 5])
            {
                var (o, S) = run.Forward(threads: threads);
                Assert.Equal(expected.O, o);
                Assert.Equal(expected.S, S);
            }
        }
    }

    [Fact]
    public void A_state_that_fades_at_once_leaves_finite_numbers()
    {
        foreach (var fading in Enum.GetValues<Fading>().Except([Fading.None]))
        {
            var run = GatedRun.Random(new(1, 70, 2, 16, 24), fading, depth: 200);
            run.KeyDecay.AsSpan(0, Math.Min(40, run.KeyDecay.Length)).Fill(float.NegativeInfinity);
            run.ValueDecay.AsSpan(0, Math.Min(40, run.ValueDecay.Length)).Fill(float.NegativeInfinity);
            foreach (var kernel in kernels) Near(run.Reference(), run.Forward(kernel), $"{kernel}, {fading}");
        }
    }

    [Theory, MemberData(nameof(Operators))]
    public void Both_forms_read_as_the_authors_do(string op)
    {
        var golden = new GoldenFile(op);
        int[] q = golden.Shape("q"), v = golden.Shape("v");
        var sizes = new AttentionSizes(q[0], q[1], q[2], q[3], v[3]);
        foreach (string start in (string[])["", "init."])
        {
            var run = new GatedRun(sizes, 1 / MathF.Sqrt(sizes.K))
            {
                Q = golden["q"],
                K = golden["k"],
                V = golden["v"],
                KeyDecay = op == "linear_attn" ? [] : golden["g"],
                S0 = start.Length > 0 ? golden["h0"] : new float[sizes.B * sizes.H * sizes.K * sizes.V],
            };
            Near((golden[start + "o"], golden[start + "ht"]), run.Reference(), "reference");
            Near((golden[start + "o"], golden[start + "ht"]), run.Forward(), "forward");
        }
    }

    [Fact]
    public void An_operand_of_the_wrong_size_is_named_with_what_it_holds_and_needs()
    {
        var run = GatedRun.Random(new(2, 4, 3, 8, 24), Fading.Rows);
        Assert.StartsWith("v holds 3 values; [2, 4, 3, 24] needs 576.",
            Assert.Throws<ArgumentException>(() => (run with { V = new float[3] }).Forward()).Message, StringComparison.Ordinal);
        Assert.StartsWith("keyDecay holds 3 values; [2, 4, 3, 8] needs 192.",
            Assert.Throws<ArgumentException>(() => (run with { KeyDecay = new float[3] }).Forward()).Message, StringComparison.Ordinal);
        Assert.StartsWith("A state fades by rows or by columns; a keyDecay and a valueDecay are given.",
            Assert.Throws<ArgumentException>(() => (run with { ValueDecay = new float[576] }).Forward()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public unsafe void Exponentials_are_exact_to_two_bits_of_the_last()
    {
        float[] x = [.. Enumerable.Range(0, 4003).Select(i => i * 0.0434f - 85.9f), 0, -0f, -85.99f, -86.01f, -104, -1e30f, float.NegativeInfinity];
        var y = new float[x.Length];
        fixed (float* from = x, to = y) Exponential.Of(from, to, x.Length);
        for (int i = 0; i < x.Length; i++)
        {
            double expected = x[i] < -86 ? 0 : Math.Exp(Math.Min(x[i], 88));
            Assert.True(Math.Abs(y[i] - expected) <= expected * 2.5e-7, $"e^{x[i]} is {y[i]}, not {expected}");
        }
    }

    private static void Near((float[] O, float[] S) expected, (float[] O, float[] S) actual, string what)
    {
        Numbers.Near(expected.O, actual.O, Tolerance, $"o, {what}");
        Numbers.Near(expected.S, actual.S, Tolerance, $"S, {what}");
    }
}
