using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

public sealed class SwiGluTests
{
    // A product, a division and a polynomial for the exponential.
    private const float Tolerance = 1e-6f;

    [Theory, InlineData(1, 1), InlineData(2, 3), InlineData(3, 4), InlineData(5, 9), InlineData(3, 16), InlineData(7, 37), InlineData(65, 700)]
    public void The_fast_form_gives_the_values_and_gradients_of_the_reference(int rows, int n)
    {
        var random = new Random(rows * n);
        float[] both = Numbers.Random(random, 2 * rows * n, 20), dy = Numbers.Random(random, rows * n);
        float[] y = new float[rows * n], da = new float[rows * n], dg = new float[rows * n];
        SwiGlu.Reference(rows, n, both.AsSpan(..^n), 2 * n, both.AsSpan(n), 2 * n, y);
        SwiGlu.ReferenceBackward(rows, n, both.AsSpan(..^n), 2 * n, both.AsSpan(n), 2 * n, dy, da, dg);
        foreach (int threads in (int[])[1, 3])
        {
            Guarded a = new(both.AsSpan(..^n), 1), g = new(both.AsSpan(n), 2), fast = new(y, 1), fastA = new(da, 2), fastG = new(dg, 3);
            fast.Span.Clear();
            SwiGlu.Forward(rows, n, a.Span, 2 * n, g.Span, 2 * n, fast.Span, threads);
            Numbers.Near(y, fast.Span, Tolerance, "y");
            fastA.Span.Clear();
            fastG.Span.Clear();
            SwiGlu.Backward(rows, n, a.Span, 2 * n, g.Span, 2 * n, dy, fastA.Span, fastG.Span, threads);
            Numbers.Near(da, fastA.Span, Tolerance, "da");
            Numbers.Near(dg, fastG.Span, Tolerance, "dg");
            fast.RequireIntact();
            fastA.RequireIntact();
            fastG.RequireIntact();
        }
    }

    [Fact]
    public void Gradients_are_the_differences_of_the_reference()
    {
        const int N = 6;
        const float Step = 1e-2f;
        var random = new Random(3);
        float[] a = Numbers.Random(random, N, 2), g = Numbers.Random(random, N, 4), dy = Numbers.Random(random, N), da = new float[N], dg = new float[N];
        SwiGlu.ReferenceBackward(1, N, a, N, g, N, dy, da, dg);
        double Loss()
        {
            var y = new float[N];
            SwiGlu.Reference(1, N, a, N, g, N, y);
            return y.Zip(dy, (value, gradient) => (double)value * gradient).Sum();
        }

        Numbers.RequireDifferences(Loss, Step, 1e-3, (a, da), (g, dg));
    }

    [Fact]
    public void Rows_that_overlap_are_refused() => Assert.Throws<ArgumentException>(
        () => SwiGlu.Forward(2, 4, new float[7], 3, new float[8], 4, new float[8]));
}
