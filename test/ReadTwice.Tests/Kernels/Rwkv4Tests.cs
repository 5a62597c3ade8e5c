using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

/// <summary>RWKV-4's average: the fast form against the plain loops, and its gradients against differences.</summary>
public sealed class Rwkv4Tests
{
    private const float Tolerance = 1e-5f;

    public static TheoryData<int, int, int> Sizes => new()
    {
        { 1, 1, 1 }, { 2, 3, 7 }, { 1, 63, 64 }, { 2, 64, 65 }, { 3, 65, 130 }, { 1, 40, 200 },
    };

    [Theory, MemberData(nameof(Sizes))]
    public void The_fast_form_gives_what_the_reference_gives(int B, int T, int D)
    {
        var run = new Run(B, T, D);
        float[] y = new float[B * T * D], num = [.. run.Num], den = [.. run.Den], max = [.. run.Max];
        Rwkv4.Reference(B, T, D, run.K, run.V, run.W, run.U, num, den, max, y);
        foreach (int threads in (int[])[1, 3])
        {
            var (o, n, d, m) = run.Forward(run.K, run.V, threads);
            Numbers.Near(y, o, Tolerance, "y");
            Numbers.Near(num, n, Tolerance, "num");
            Numbers.Near(den, d, Tolerance, "den");
            Numbers.Near(max, m, Tolerance, "max");
        }
    }

    [Fact]
    public void A_state_that_has_read_nothing_leaves_no_trace()
    {
        var run = new Run(1, 1, 9) { Num = new float[9], Den = new float[9], Max = [.. Enumerable.Repeat(-1e38f, 9)] };
        var (y, num, den, max) = run.Forward(run.K, run.V);
        Numbers.Near(run.V, y, Tolerance, "the only value");
        Numbers.Near(run.V, num, Tolerance, "num");
        Assert.All(den, d => Assert.Equal(1, d));
        Numbers.Near(run.K, max, 0, "max");
    }

    [Fact]
    public void Two_calls_that_hand_the_state_over_give_what_one_gives()
    {
        var run = new Run(1, 50, 70);
        var whole = run.Forward(run.K, run.V);
        int cut = 17 * 70;
        var first = (run with { T = 17 }).Forward(run.K[..cut], run.V[..cut]);
        var second = (run with { T = 33, Num = first.Num, Den = first.Den, Max = first.Max }).Forward(run.K[cut..], run.V[cut..]);
        Numbers.Near(whole.Y, (float[])[.. first.Y, .. second.Y], 0, "y");
        Numbers.Near(whole.Num, second.Num, 0, "num");
    }

    [Theory, InlineData(1, 1, 3), InlineData(2, 9, 70)]
    public void Gradients_are_the_differences_of_the_reference(int B, int T, int D)
    {
        var run = new Run(B, T, D);
        var random = new Random(7);
        float[] dy = Numbers.Random(random, B * T * D), dnum = Numbers.Random(random, B * D), dden = Numbers.Random(random, B * D);
        float[] dk = new float[B * T * D], dv = new float[B * T * D], dw = new float[D], du = new float[D], dnum0 = new float[B * D], dden0 = new float[B * D];
        Rwkv4.Backward(B, T, D, run.K, run.V, run.W, run.U, run.Num, run.Den, run.Max, dy, dnum, dden, dk, dv, dw, du, dnum0, dden0);

        // The loss in units that do not move with the inputs: num and den are measured in e^max of the run as given.
        float[] units = run.Forward(run.K, run.V).Max;
        double Loss()
        {
            float[] y = new float[B * T * D], num = [.. run.Num], den = [.. run.Den], max = [.. run.Max];
            Rwkv4.Reference(B, T, D, run.K, run.V, run.W, run.U, num, den, max, y);
            double loss = 0;
            for (int i = 0; i < y.Length; i++) loss += (double)y[i] * dy[i];
            for (int i = 0; i < num.Length; i++) loss += Math.Exp(max[i] - units[i]) * ((double)num[i] * dnum[i] + (double)den[i] * dden[i]);
            return loss;
        }

        foreach (var (values, gradients, name) in ((float[], float[], string)[])
            [(run.K, dk, "dk"), (run.V, dv, "dv"), (run.W, dw, "dw"), (run.U, du, "du"), (run.Num, dnum0, "dnum"), (run.Den, dden0, "dden")])
        {
            const float Step = 1e-2f;
            for (int i = 0; i < values.Length; i += Math.Max(1, values.Length / 12))
            {
                float kept = values[i];
                values[i] = kept + Step;
                double more = Loss();
                values[i] = kept - Step;
                double difference = (more - Loss()) / (2 * Step);
                values[i] = kept;
                Assert.True(Math.Abs(difference - gradients[i]) < 3e-3 * Math.Max(1, Math.Abs(difference)), $"{name}[{i}] is {gradients[i]}, the difference {difference}");
            }
        }
    }

    private sealed record Run(int B, int T, int D)
    {
        public float[] K { get; init; } = Numbers.Random(new(1), B * T * D, 3);
        public float[] V { get; init; } = Numbers.Random(new(2), B * T * D);
        public float[] W { get; init; } = [.. Numbers.Random(new(3), D).Select(w => w - 1)];
        public float[] U { get; init; } = Numbers.Random(new(4), D);
        public float[] Num { get; init; } = Numbers.Random(new(5), B * D);
        public float[] Den { get; init; } = [.. Numbers.Random(new(6), B * D).Select(den => den + 1.5f)];
        public float[] Max { get; init; } = Numbers.Random(new(8), B * D);

        public (float[] Y, float[] Num, float[] Den, float[] Max) Forward(float[] k, float[] v, int threads = 1)
        {
            float[] y = new float[B * T * D], num = [.. Num], den = [.. Den], max = [.. Max];
            Rwkv4.Forward(B, T, D, k, v, W, U, num, den, max, y, threads);
            return (y, num, den, max);
        }
    }
}
