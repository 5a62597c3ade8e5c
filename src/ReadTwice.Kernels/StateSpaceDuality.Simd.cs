using System.Numerics;

namespace ReadTwice.Kernels;

public static partial class StateSpaceDuality
{
    internal static unsafe void Simd(
        HeadKernel kernel, DualitySizes sizes, In x, In delta, In A, In Bt, In Ct, In D, Ref S, Ref y, int threads)
    {
        fixed (float* atX = x, atDelta = delta, atA = A, atB = Bt, atC = Ct, atD = D, atS = S, atY = y)
            kernel.Read(
                new HeadOperands
                {
                    Sizes = new(sizes.B, sizes.T, sizes.H, sizes.N, sizes.P, sizes.G, sizes.H),
                    Step = atDelta,
                    A = atA,
                    Q = atC,
                    Keys = atB,
                    Values = atX,
                    Weight = atDelta,
                    Skip = atD,
                    SkipWidth = D.Length / sizes.H,
                    S = atS,
                    O = atY,
                },
                threads);
    }

    /// <summary>
    /// With R the gradient of the state that a token left, which runs from the end as S does from the start, R ← exp(Δ A) R + C dyᵀ:
    /// dx comes of R as B reads it, dB and dC of the transposed R and S as x and dy read them. All are readings of one kind.
    /// </summary>
    internal static unsafe void SimdBackward(
        HeadKernel kernel, DualitySizes sizes, In x, In delta, In A, In Bt, In Ct, In D, In S0, In S, In dy, In dS,
        Ref dx, Ref ddelta, Ref dA, Ref dBt, Ref dCt, Ref dD, Ref dS0, int threads)
    {
        var (B, T, H, P, G, N) = sizes;
        if (dS.IsEmpty) dS0.Clear();
        else dS.CopyTo(dS0);
        using var scratch = Scratch.For(
            scratch => (State: (nint)scratch.Take(checked(B * H * N * P)), Maps: (nint)scratch.Take(checked(B * T * H * N))), out var at);
        // What a token reads less what it writes. The sum from a token to the end is the gradient of the logarithm of its decay.
        double[] terms = new double[checked(B * T * H)];
        fixed (float* atX = x, atDelta = delta, atA = A, atB = Bt, atC = Ct, atS0 = S0, atDY = dy)
        fixed (float* atDX = dx, atDB = dBt, atDC = dCt, atDS0 = dS0)
        fixed (double* atTerms = terms)
        {
            var ofMaps = new HeadOperands
            {
                Sizes = new(B, T, H, P, N, H, G),
                Step = atDelta,
                A = atA,
                S = (float*)at.State,
                O = (float*)at.Maps,
            };
            Transpose(B * H, N, P, atS0, ofMaps.S);
            kernel.Read(ofMaps with { Q = atDY, Keys = atX, Values = atB, Weight = atDelta }, threads);
            Gather(sizes, ofMaps.O, null, atC, atDC, atTerms, 1, threads);

            Transpose(B * H, N, P, atDS0, ofMaps.S);
            kernel.Read(ofMaps with { Q = atX, Keys = atDY, Values = atC, Backwards = true }, threads);
            Gather(sizes, ofMaps.O, atDelta, atB, atDB, atTerms, -1, threads);

            var ofInputs = ofMaps with { Sizes = new(B, T, H, N, P, G, H), S = atDS0, O = atDX, Backwards = true };
            kernel.Read(ofInputs with { Q = atB, Keys = atC, Values = atDY }, threads);
        }
        Finish(sizes, x, delta, A, D, S, dy, dS, terms, dx, ddelta, dA, dD);
    }

    private static unsafe void Transpose(int heads, int rows, int columns, float* from, float* to)
    {
        for (int head = 0; head < heads; head++, from += rows * columns, to += rows * columns)
            Kernels.Transpose.Copy(from, columns, rows, columns, 1, to, rows);
    }

    // The gradient of a map from those of the heads that share it, and what each head's hangs on its decays.
    private static unsafe void Gather(
        DualitySizes sizes, float* heads, float* weight, float* map, float* gradient, double* terms, int sign, int threads)
    {
        var (B, T, H, _, G, N) = sizes;
        int parts = Workers.Count(threads);
        Workers.Run(parts, part =>
        {
            for (nint token = (nint)B * T * part / parts; token < (nint)B * T * (part + 1) / parts; token++)
                for (int h = 0; h < H; h++)
                {
                    int g = h / (H / G);
                    var sum = new Ref(gradient + (token * G + g) * N, N);
                    if (h % (H / G) == 0) sum.Clear();
                    float factor = weight == null ? 1 : weight[token * H + h];
                    terms[token * H + h] += sign * AddScaled(new(heads + (token * H + h) * N, N), factor, sum, new(map + (token * G + g) * N, N));
                }
        });
    }

    /// <summary>sum ← sum + factor · values, and the scaled values' product with another vector.</summary>
    private static float AddScaled(In values, float factor, Ref sum, In other)
    {
        var products = Vector<float>.Zero;
        int i = 0;
        for (; i + Vector<float>.Count <= values.Length; i += Vector<float>.Count)
        {
            var scaled = factor * new Vector<float>(values[i..]);
            (new Vector<float>(sum[i..]) + scaled).CopyTo(sum[i..]);
            products += scaled * new Vector<float>(other[i..]);
        }
        float product = Vector.Sum(products);
        for (; i < values.Length; i++)
        {
            sum[i] += factor * values[i];
            product += factor * values[i] * other[i];
        }
        return product;
    }

    // dx holds what B reads of R, still to be weighed by the step.
    private static void Finish(
        DualitySizes sizes, In x, In delta, In A, In D, In S, In dy, In dS, double[] terms, Ref dx, Ref ddelta, Ref dA, Ref dD)
    {
        const float Nothing = -17;   // e to this power is less than what rounding leaves of the terms
        var (B, T, H, P, _, N) = sizes;
        int skip = D.Length / H;
        dA.Clear();
        dD.Clear();
        Ref products = new float[P];
        for (int b = 0; b < B; b++)
            for (int h = 0; h < H; h++)
            {
                double rest = 0, ofA = 0;
                int state = (b * H + h) * N * P;
                for (int i = 0; i < (dS.IsEmpty ? 0 : N * P); i++) rest += (double)S[state + i] * dS[state + i];
                products.Clear();
                for (int t = T - 1; t >= 0; t--)
                {
                    int at = (b * T + t) * H + h;
                    rest = delta[at] * A[h] < Nothing ? 0 : rest + terms[at];
                    ofA += rest * delta[at];
                    ddelta[at] = (float)(rest * A[h]) + Inputs(
                        x.Slice(at * P, P), dy.Slice(at * P, P), delta[at], D.Slice(h * skip, skip), dx.Slice(at * P, P), products);
                }
                dA[h] += (float)ofA;
                for (int p = 0; p < P; p++) dD[h * skip + (skip == 1 ? 0 : p)] += products[p];
            }
    }

    /// <summary>dx ← step · dx + skip ⊙ dy, products ← products + x ⊙ dy, and the product of x with dx as it was.</summary>
    private static float Inputs(In x, In dy, float step, In skip, Ref dx, Ref products)
    {
        var sums = Vector<float>.Zero;
        int p = 0;
        for (; p + Vector<float>.Count <= x.Length; p += Vector<float>.Count)
        {
            Vector<float> input = new(x[p..]), output = new(dy[p..]), read = new(dx[p..]);
            sums += input * read;
            (new Vector<float>(products[p..]) + input * output).CopyTo(products[p..]);
            (step * read + (skip.Length == 1 ? new(skip[0]) : new Vector<float>(skip[p..])) * output).CopyTo(dx[p..]);
        }
        float sum = Vector.Sum(sums);
        for (; p < x.Length; p++)
        {
            sum += x[p] * dx[p];
            products[p] += x[p] * dy[p];
            dx[p] = step * dx[p] + skip[skip.Length == 1 ? 0 : p] * dy[p];
        }
        return sum;
    }
}
