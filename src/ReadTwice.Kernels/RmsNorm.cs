namespace ReadTwice.Kernels;

/// <summary>Sizes of a norm: rows of Groups neighbouring groups of n numbers each, every group normalised for itself.</summary>
/// <param name="Rows">How many rows.</param>
/// <param name="Groups">Groups of a row; each has weights of its own.</param>
/// <param name="N">Numbers of a group.</param>
/// <param name="Epsilon">Added to the mean square.</param>
/// <param name="Offset">Added to every weight.</param>
public readonly record struct NormSizes(int Rows, int Groups, int N, float Epsilon, float Offset = 0);

/// <summary>y = x / √(mean(x²) + ε) ⊙ (w + offset) (arXiv 1910.07467), where x may be a sum that is wanted too.</summary>
/// <remarks>
/// x, added, sum and y are [Rows, Groups, N], weight [Groups, N] or empty for ones. threads = 0 uses every processor. Every method
/// computes the same values: read Reference, call Forward.
/// </remarks>
public static unsafe class RmsNorm
{
    /// <summary>Normalises x, or x + added, which sum receives; without anything to add both are empty.</summary>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Forward(NormSizes sizes, In x, In added, In weight, Ref sum, Ref y, int threads = 0)
    {
        Require(sizes, x, weight, y);
        if (!added.IsEmpty) Shape.Require(added, [sizes.Rows, sizes.Groups, sizes.N]);
        Shape.Require(sum, [added.Length]);
        fixed (float* atX = x, atAdded = added, atWeight = weight, atSum = sum, atY = y)
        {
            var operands = new NormOperands { Sizes = sizes, X = atX, Added = atAdded, Weight = atWeight, Sum = atSum, Y = atY };
            switch (Width.For(sizes.N))
            {
                case 16: NormRows<Lanes512>.Forward(operands, threads); break;
                case 8: NormRows<Lanes256>.Forward(operands, threads); break;
                case 4: NormRows<Lanes128>.Forward(operands, threads); break;
                default: Reference(sizes, x, added, weight, sum, y); break;
            }
        }
    }

    /// <summary>The gradients of what was normalised and of the weight, given that of y and, where it was wanted, that of the sum.</summary>
    /// <remarks>x is the sum where there was one; its gradient is that of both summands. dweight is empty where weight is.</remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Backward(NormSizes sizes, In x, In weight, In dy, In dsum, Ref dx, Ref dweight, int threads = 0)
    {
        Require(sizes, x, weight, dy);
        Require(sizes, dx, dweight, dy);
        Shape.Require(dweight, [weight.Length]);
        if (!dsum.IsEmpty) Shape.Require(dsum, [sizes.Rows, sizes.Groups, sizes.N]);
        fixed (float* atX = x, atWeight = weight, atDY = dy, atDSum = dsum, atDX = dx, atDWeight = dweight)
        {
            var operands = new NormOperands { Sizes = sizes, X = atX, Weight = atWeight, Sum = atDSum, Y = atDY };
            switch (Width.For(sizes.N))
            {
                case 16: NormRows<Lanes512>.Backward(operands, atDX, atDWeight, threads); break;
                case 8: NormRows<Lanes256>.Backward(operands, atDX, atDWeight, threads); break;
                case 4: NormRows<Lanes128>.Backward(operands, atDX, atDWeight, threads); break;
                default: ReferenceBackward(sizes, x, weight, dy, dsum, dx, dweight); break;
            }
        }
    }

    internal static void Reference(NormSizes sizes, In x, In added, In weight, Ref sum, Ref y)
    {
        int n = sizes.N;
        for (int group = 0; group < sizes.Rows * sizes.Groups; group++)
        {
            float squares = 0;
            for (int i = 0; i < n; i++)
            {
                int at = group * n + i;
                y[at] = x[at];
                if (!added.IsEmpty) y[at] = sum[at] = x[at] + added[at];
                squares += y[at] * y[at];
            }
            float scale = 1 / MathF.Sqrt(squares / n + sizes.Epsilon);
            for (int i = 0; i < n; i++) y[group * n + i] *= scale * Weight(sizes, weight, group, i);
        }
    }

    internal static void ReferenceBackward(NormSizes sizes, In x, In weight, In dy, In dsum, Ref dx, Ref dweight)
    {
        int n = sizes.N;
        dweight.Clear();
        for (int group = 0; group < sizes.Rows * sizes.Groups; group++)
        {
            float squares = 0, along = 0;
            for (int i = 0; i < n; i++)
            {
                int at = group * n + i;
                squares += x[at] * x[at];
                along += x[at] * dy[at] * Weight(sizes, weight, group, i);
            }
            float scale = 1 / MathF.Sqrt(squares / n + sizes.Epsilon);
            for (int i = 0; i < n; i++)
            {
                int at = group * n + i;
                dx[at] = scale * (dy[at] * Weight(sizes, weight, group, i) - x[at] * scale * scale * along / n) + (dsum.IsEmpty ? 0 : dsum[at]);
                if (!dweight.IsEmpty) dweight[group % sizes.Groups * n + i] += dy[at] * x[at] * scale;
            }
        }
    }

    private static float Weight(NormSizes sizes, In weight, int group, int i) =>
        weight.IsEmpty ? 1 : weight[group % sizes.Groups * sizes.N + i] + sizes.Offset;

    private static void Require(NormSizes sizes, In x, In weight, In y)
    {
        if (sizes.Rows < 1 || sizes.Groups < 1 || sizes.N < 1) throw new ArgumentException($"A norm needs sizes of one or more, not {sizes}.");
        Shape.Require(x, [sizes.Rows, sizes.Groups, sizes.N]);
        if (!weight.IsEmpty) Shape.Require(weight, [sizes.Groups, sizes.N]);
        Shape.Require(y, [sizes.Rows, sizes.Groups, sizes.N]);
    }
}

/// <summary>Where the operands of one call lie; shapes as in <see cref="RmsNorm"/>.</summary>
internal unsafe struct NormOperands
{
    public NormSizes Sizes;
    public float* X, Added, Weight, Sum, Y;
}
