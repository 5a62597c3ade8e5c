using System.Buffers;
using System.Runtime.InteropServices;

namespace ReadTwice.Kernels;

/// <summary>Memory for the time of one call, aligned to cache lines, from the shared pool; it holds what was there before.</summary>
internal sealed unsafe class Scratch : IDisposable
{
    private const int Line = 64 / sizeof(float);
    private readonly float[] array;
    private readonly float* start;
    private GCHandle pin;
    private int taken;

    private Scratch(int floats)
    {
        array = ArrayPool<float>.Shared.Rent(floats + Line);
        pin = GCHandle.Alloc(array, GCHandleType.Pinned);
        start = (float*)((pin.AddrOfPinnedObject() + 63) & ~63);
    }

    private Scratch() => array = [];

    /// <summary>Memory for all that <paramref name="layOut"/> takes. It is called twice: what it took the first time is no memory.</summary>
    public static Scratch For<T>(Func<Scratch, T> layOut, out T laid)
    {
        using var measure = new Scratch();
        layOut(measure);
        var scratch = new Scratch(measure.taken);
        laid = layOut(scratch);
        return scratch;
    }

    public float* Take(int floats)
    {
        float* here = start + taken;
        taken = checked(taken + (floats + Line - 1) / Line * Line);
        return here;
    }

    public void Dispose()
    {
        if (array.Length == 0) return;
        pin.Free();
        ArrayPool<float>.Shared.Return(array);
    }
}
