using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

public class ScanKernelTests
{
    // A product and a sum, rounded once or twice, over many tokens.
    private const float Tolerance = 1e-5f;

    public static TheoryData<int, int> Sizes()
    {
        var sizes = new TheoryData<int, int>();
        foreach (int T in new[] { 1, 3, 63, 64, 65 })
            foreach (int C in new[] { 1, 7, 8, 37, 64, 1025 }) sizes.Add(T, C);
        return sizes;
    }

    [Theory, MemberData(nameof(Sizes))]
    public void The_fast_form_gives_the_states_of_the_reference(int T, int C)
    {
        var (sizes, a, b, h0) = Random(2, T, C);
        float[] expected = new float[b.Length], read = new float[b.Length];
        Scan.Reference(sizes, a, b, h0, expected);
        foreach (int threads in new[] { 1, 3 })
        {
            Scan.Forward(sizes, a, b, h0, read, threads);
            Numbers.Near(expected, read, Tolerance, "h");
        }
    }

    [Theory, MemberData(nameof(Sizes))]
    public void The_fast_form_gives_the_gradients_of_the_reference(int T, int C)
    {
        var (sizes, a, b, h0) = Random(2, T, C);
        float[] h = new float[b.Length], dh = Numbers.Random(new Random(5), b.Length);
        Scan.Reference(sizes, a, b, h0, h);
        float[] da = new float[a.Length], db = new float[a.Length], dh0 = new float[h0.Length];
        float[] fastA = new float[a.Length], fastB = new float[a.Length], fastH0 = new float[h0.Length];
        Scan.ReferenceBackward(sizes, a, h, h0, dh, da, db, dh0);
        foreach (int threads in new[] { 1, 3 })
        {
            Scan.Backward(sizes, a, h, h0, dh, fastA, fastB, fastH0, threads);
            Numbers.Near(da, fastA, Tolerance, "da");
            Numbers.Near(db, fastB, Tolerance, "db");
            Numbers.Near(dh0, fastH0, Tolerance, "dh0");
        }
    }

    [Fact]
    public void The_reference_gives_the_states_and_gradients_of_the_authors_code()
    {
        var golden = new GoldenFile("hgrn");
        int[] shape = golden.Shape("x");
        var sizes = new ScanSizes(shape[0], shape[1], shape[2]);
        float[] a = [.. golden["g"].Select(MathF.Exp)], h = new float[golden["x"].Length], dh = golden["do"];
        Scan.Reference(sizes, a, golden["x"], golden["h0"], h);
        Numbers.Near(golden["init.o"], h, Tolerance, "h");

        float[] last = golden["dht"], da = new float[h.Length], db = new float[h.Length], dh0 = new float[last.Length];
        for (int b = 0; b < sizes.B; b++)
            for (int c = 0; c < sizes.C; c++) dh[((b + 1) * sizes.T - 1) * sizes.C + c] += last[b * sizes.C + c];
        Scan.ReferenceBackward(sizes, a, h, golden["h0"], dh, da, db, dh0);
        Numbers.Near(golden["init.d.x"], db, Tolerance, "db");
        Numbers.Near(golden["init.d.g"], [.. da.Zip(a, (gradient, kept) => gradient * kept)], Tolerance, "dg");
        Numbers.Near(golden["init.d.h0"], dh0, Tolerance, "dh0");
    }

    [Fact]
    public void A_span_of_another_length_is_refused()
    {
        var (sizes, a, b, h0) = Random(1, 3, 4);
        var error = Assert.Throws<ArgumentException>(() => Scan.Forward(sizes, a, b, h0.AsSpan(1), new float[b.Length]));
        Assert.Contains("h0 holds 3 values; [1, 4] needs 4.", error.Message, StringComparison.Ordinal);
    }

    private static (ScanSizes Sizes, float[] A, float[] B, float[] H0) Random(int B, int T, int C)
    {
        var random = new Random(T * C);
        float[] a = Numbers.Random(random, B * T * C), b = Numbers.Random(random, B * T * C), h0 = Numbers.Random(random, B * C);
        return (new(B, T, C), [.. a.Select(MathF.Abs)], b, h0);
    }
}
