namespace ReadTwice.Kernels;

/// <summary>A weight matrix laid so that products with it run at the speed of the processor, or of the memory: y = x Wᵀ + b.</summary>
/// <remarks>
/// W is [N, K], outputs by inputs. The packed copy is owned here, outside the heap; dispose it when the weights change. Several
/// threads may multiply at once, and one may dispose meanwhile.
/// </remarks>
public sealed unsafe partial class PackedMatrix : IDisposable
{
    internal static readonly ProductKernel Kernel = ProductKernel.Widest();

    private readonly Panels panels;
    private readonly NativePages pages;

    private PackedMatrix(int N, int K, PackedType type)
    {
        panels = new Panels(N, K, type);
        pages = new NativePages(panels.Bytes);
    }

    /// <summary>Outputs: columns of a product.</summary>
    public int N => panels.N;

    /// <summary>Inputs: columns of what is multiplied.</summary>
    public int K => panels.K;

    /// <summary>What the weights are kept in.</summary>
    public PackedType Type => panels.Type;

    /// <summary>The size of the packed copy.</summary>
    public long Bytes => panels.Bytes;

    /// <summary>Packs float32 weights [N, K]; threads = 0 uses every processor.</summary>
    /// <exception cref="ArgumentException">The weights are not N · K numbers.</exception>
    public static PackedMatrix Pack(In weight, int N, int K, PackedType type, int threads = 0)
    {
        Require(weight.Length, N, K);
        var matrix = new PackedMatrix(N, K, type);
        fixed (float* from = weight) Packing.Pack(matrix.panels, from, matrix.pages.Start, Workers.Count(threads));
        return matrix;
    }

    /// <summary>Packs bfloat16 weights [N, K], given by their bits; threads = 0 uses every processor.</summary>
    /// <exception cref="ArgumentException">The weights are not N · K numbers.</exception>
    public static PackedMatrix Pack(ReadOnlySpan<ushort> weight, int N, int K, PackedType type, int threads = 0)
    {
        Require(weight.Length, N, K);
        var matrix = new PackedMatrix(N, K, type);
        fixed (ushort* from = weight) Packing.Pack(matrix.panels, from, matrix.pages.Start, Workers.Count(threads));
        return matrix;
    }

    /// <summary>Multiplies rows x [M, K] into y [M, N]; bias is [N] or empty, and threads = 0 uses every processor.</summary>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    /// <exception cref="ObjectDisposedException">The matrix was disposed.</exception>
    public void Multiply(In x, Ref y, In bias = default, int threads = 0) => Multiply(Kernel, x, y, bias, threads);

    /// <summary>Frees the packed copy, after the products that are under way.</summary>
    public void Dispose() => pages.Dispose();

    internal void Multiply(ProductKernel kernel, In x, Ref y, In bias, int threads)
    {
        int M = x.Length / K;
        Shape.Require(x, [M, K]);
        Shape.Require(y, [M, N]);
        if (!bias.IsEmpty) Shape.Require(bias, [N]);
        if (M == 0) return;
        bool held = false;
        try
        {
            pages.DangerousAddRef(ref held);
            fixed (float* atX = x, atY = y, atBias = bias)
                kernel.Multiply(new ProductOperands(panels, pages.Start, M, atX, atBias, atY), Workers.Count(threads));
        }
        finally
        {
            if (held) pages.DangerousRelease();
        }
    }

    private static void Require(int count, int N, int K)
    {
        if (N < 1 || K < 1) throw new ArgumentException($"A matrix of {N} outputs and {K} inputs cannot be packed; at least one of each is needed.");
        if (count != (long)N * K) throw new ArgumentException($"weight holds {count} values; [{N}, {K}] needs {(long)N * K}.");
    }
}
