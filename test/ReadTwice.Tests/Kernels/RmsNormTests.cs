using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

public sealed class RmsNormTests
{
    // Sums of a few hundred squares in another order.
    private const float Tolerance = 5e-6f;

    public static TheoryData<int, int, int> Sizes => new()
    {
        { 1, 1, 1 }, { 2, 1, 3 }, { 3, 2, 5 }, { 5, 1, 8 }, { 2, 3, 16 }, { 7, 1, 37 }, { 4, 4, 64 }, { 65, 1, 1025 }, { 33, 2, 300 },
    };

    [Theory, MemberData(nameof(Sizes))]
    public void The_fast_form_gives_what_the_reference_gives(int rows, int groups, int n)
    {
        foreach (var (sizes, x, added, weight) in Runs(rows, groups, n))
            foreach (int threads in (int[])[1, 3])
            {
                float[] y = new float[x.Length], sum = new float[added.Length];
                RmsNorm.Reference(sizes, x, added, weight, sum, y);
                Guarded fastY = new(new float[x.Length], 1), fastSum = new(new float[added.Length], 2);
                RmsNorm.Forward(sizes, new Guarded(x, 1).Span, new Guarded(added, 1).Span, new Guarded(weight, 2).Span, fastSum.Span, fastY.Span, threads);
                Numbers.Near(y, fastY.Span, Tolerance, "y");
                Numbers.Near(sum, fastSum.Span, 0, "sum");
                fastY.RequireIntact();
                fastSum.RequireIntact();
            }
    }

    [Theory, MemberData(nameof(Sizes))]
    public void The_fast_form_gives_the_gradients_of_the_reference(int rows, int groups, int n)
    {
        foreach (var (sizes, x, dsum, weight) in Runs(rows, groups, n))
            foreach (int threads in (int[])[1, 3])
            {
                float[] dy = Numbers.Random(new(2), x.Length), dx = new float[x.Length], dweight = new float[weight.Length];
                RmsNorm.ReferenceBackward(sizes, x, weight, dy, dsum, dx, dweight);
                Guarded fastX = new(x, 1), fastWeight = new(weight, 2);
                RmsNorm.Backward(sizes, new Guarded(x, 1).Span, weight, new Guarded(dy, 2).Span, new Guarded(dsum, 3).Span, fastX.Span, fastWeight.Span, threads);
                Numbers.Near(dx, fastX.Span, Tolerance, "dx");
                Numbers.Near(dweight, fastWeight.Span, Tolerance, "dweight");
                fastX.RequireIntact();
                fastWeight.RequireIntact();
            }
    }

    [Fact]
    public void Gradients_are_the_differences_of_the_reference()
    {
        const float Step = 1e-2f;
        var (sizes, x, added, weight) = Runs(2, 2, 5).First();
        float[] dy = Numbers.Random(new(2), x.Length), dsum = Numbers.Random(new(3), x.Length);
        double Loss()
        {
            float[] y = new float[x.Length], sum = new float[x.Length];
            RmsNorm.Reference(sizes, x, added, weight, sum, y);
            return y.Zip(dy, (value, gradient) => (double)value * gradient).Sum() + sum.Zip(dsum, (value, gradient) => (double)value * gradient).Sum();
        }

        float[] all = [.. x.Zip(added, (a, b) => a + b)], dx = new float[x.Length], dweight = new float[weight.Length];
        RmsNorm.ReferenceBackward(sizes, all, weight, dy, dsum, dx, dweight);
        Numbers.RequireDifferences(Loss, Step, 2e-3, (x, dx), (added, dx), (weight, dweight));
    }

    [Fact]
    public void A_sum_is_wanted_exactly_where_something_is_added() => Assert.Throws<ArgumentException>(
        () => RmsNorm.Forward(new(1, 1, 4, 1e-5f), new float[4], [], [], new float[4], new float[4]));

    // With weights, an offset and something to add, and with none of them.
    private static IEnumerable<(NormSizes Sizes, float[] X, float[] Added, float[] Weight)> Runs(int rows, int groups, int n)
    {
        var random = new Random(rows * groups * n);
        float[] x = Numbers.Random(random, rows * groups * n, 2);
        yield return (new(rows, groups, n, 1e-3f, 1), x, Numbers.Random(random, x.Length), Numbers.Random(random, groups * n));
        yield return (new(rows, groups, n, 1e-5f), x, [], []);
    }
}
