using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

/// <summary>The operands of one call of the selective scan, or without A of Longhorn, and what a form makes of them.</summary>
internal sealed record ChannelRun(ChannelSizes Sizes)
{
    public required float[] X { get; init; }
    public required float[] Step { get; init; }
    public float[] A { get; init; } = [];
    public required float[] Write { get; init; }
    public required float[] Read { get; init; }
    public required float[] Skip { get; init; }
    public required float[] H0 { get; init; }
    public float[] DY { get; init; } = [];
    public float[] DH { get; init; } = [];

    public sealed record Results(float[] Y, float[] H);

    public sealed record Gradients(float[] DX, float[] DStep, float[] DA, float[] DWrite, float[] DRead, float[] DSkip, float[] DH0);

    /// <summary>Random operands and a random state.</summary>
    public static ChannelRun Random(ChannelSizes sizes, bool longhorn, int seed = 1)
    {
        var random = new Random(seed);
        var (B, T, I, N) = sizes;
        return new ChannelRun(sizes)
        {
            X = Numbers.Random(random, B * T * I),
            Step = [.. Enumerable.Range(0, B * T * I).Select(_ => random.NextSingle())],
            A = longhorn ? [] : [.. Enumerable.Range(0, I * N).Select(_ => -4 * random.NextSingle())],
            Write = Numbers.Random(random, B * T * N),
            Read = Numbers.Random(random, B * T * N),
            Skip = Numbers.Random(random, I),
            H0 = Numbers.Random(random, B * I * N),
            DY = Numbers.Random(random, B * T * I),
            DH = Numbers.Random(random, B * I * N),
        };
    }

    /// <summary>A piece of the sequence, from another state.</summary>
    public ChannelRun Tokens(int from, int to, float[] h0) => this with
    {
        Sizes = Sizes with { T = to - from },
        X = Part(X, Sizes.I, from, to),
        Step = Part(Step, Sizes.I, from, to),
        Write = Part(Write, Sizes.N, from, to),
        Read = Part(Read, Sizes.N, from, to),
        H0 = h0,
    };

    /// <summary>Some tokens of an operand [B, T, width].</summary>
    public float[] Part(float[] values, int width, int from, int to) =>
        [.. Enumerable.Range(0, Sizes.B).SelectMany(b => values[((b * Sizes.T + from) * width)..((b * Sizes.T + to) * width)])];

    public Results Reference()
    {
        var (y, h) = (Unwritten(X.Length), (float[])[.. H0]);
        if (A.Length > 0) SelectiveScan.Reference(Sizes, X, Step, A, Write, Read, Skip, h, y);
        else LonghornScan.Reference(Sizes, X, Step, Write, Read, Skip, h, y);
        return new(y, h);
    }

    public Results Forward(int threads = 1)
    {
        var (y, h) = (Unwritten(X.Length), (float[])[.. H0]);
        if (A.Length > 0) SelectiveScan.Forward(Sizes, X, Step, A, Write, Read, Skip, h, y, threads);
        else LonghornScan.Forward(Sizes, X, Step, Write, Read, Skip, h, y, threads);
        return new(y, h);
    }

    public Results Forward(ChannelKernel kernel, int threads = 1)
    {
        var (y, h) = (Unwritten(X.Length), (float[])[.. H0]);
        kernel.Read(Sizes, X, Step, A, Write, Read, Skip, h, y, threads);
        return new(y, h);
    }

    public Gradients ReferenceBackward()
    {
        var to = NewGradients();
        if (A.Length > 0) SelectiveScan.ReferenceBackward(
            Sizes, X, Step, A, Write, Read, Skip, H0, DY, DH, to.DX, to.DStep, to.DA, to.DWrite, to.DRead, to.DSkip, to.DH0);
        else LonghornScan.ReferenceBackward(
            Sizes, X, Step, Write, Read, Skip, H0, DY, DH, to.DX, to.DStep, to.DWrite, to.DRead, to.DSkip, to.DH0);
        return to;
    }

    public Gradients Backward(ChannelKernel kernel, int threads = 1)
    {
        var to = NewGradients();
        kernel.Backward(
            Sizes, X, Step, A, Write, Read, Skip, H0, DY, DH, to.DX, to.DStep, to.DA, to.DWrite, to.DRead, to.DSkip, to.DH0, threads);
        return to;
    }

    public static void Near(Results expected, Results actual, float tolerance, string what)
    {
        Numbers.Near(expected.Y, actual.Y, tolerance, $"{what} y");
        Numbers.Near(expected.H, actual.H, tolerance, $"{what} h");
    }

    public static void Near(Gradients expected, Gradients actual, float tolerance, string what)
    {
        Numbers.Near(expected.DX, actual.DX, tolerance, $"{what} dx");
        Numbers.Near(expected.DStep, actual.DStep, tolerance, $"{what} dstep");
        Numbers.Near(expected.DA, actual.DA, tolerance, $"{what} dA");
        Numbers.Near(expected.DWrite, actual.DWrite, tolerance, $"{what} dwrite");
        Numbers.Near(expected.DRead, actual.DRead, tolerance, $"{what} dread");
        Numbers.Near(expected.DSkip, actual.DSkip, tolerance, $"{what} dskip");
        Numbers.Near(expected.DH0, actual.DH0, tolerance, $"{what} dh0");
    }

    private Gradients NewGradients() => new(
        Unwritten(X.Length), Unwritten(Step.Length), Unwritten(A.Length), Unwritten(Write.Length), Unwritten(Read.Length),
        Unwritten(Skip.Length), Unwritten(H0.Length));

    // What a kernel must overwrite starts as NaN.
    private static float[] Unwritten(int count)
    {
        var values = new float[count];
        values.AsSpan().Fill(float.NaN);
        return values;
    }
}
