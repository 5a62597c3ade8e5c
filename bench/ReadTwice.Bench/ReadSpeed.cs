using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using ReadTwice.Kernels;

namespace ReadTwice.Bench;

/// <summary>How fast memory can be read, measured where and when kernels are: what a product with one row is up against.</summary>
/// <remarks>The memory is laid as packed weights are, in large pages where the system has them, and owned here.</remarks>
internal sealed unsafe class ReadSpeed(long bytes) : IDisposable
{
    private readonly NativePages pages = Written(bytes);

    /// <summary>Reads the first bytes of the memory, a part on each thread.</summary>
    public Contender Contender(long count, int threads) => new("the same bytes read", () =>
    {
        nint share = (nint)(count / sizeof(float) / threads / Step * Step);
        Workers.Run(threads, part =>
        {
            if (float.IsNaN(Read((float*)pages.Start + part * share, share))) throw new InvalidOperationException("unreachable: keeps the loop from being removed");
        });
    });

    public void Dispose() => pages.Dispose();

    private const int Step = 64;

    private static NativePages Written(long bytes)
    {
        var pages = new NativePages(bytes);
        for (long i = 0; i < bytes; i += int.MaxValue) new Span<byte>(pages.Start + i, (int)Math.Min(int.MaxValue, bytes - i)).Clear();
        return pages;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Read(float* from, nint count)
    {
        Vector512<float> a = default, b = default, c = default, d = default;
        for (nint i = 0; i < count; i += Step)
        {
            a += Vector512.Load(from + i);
            b += Vector512.Load(from + i + 16);
            c += Vector512.Load(from + i + 32);
            d += Vector512.Load(from + i + 48);
        }
        return Vector512.Sum(a + b + c + d);
    }
}
