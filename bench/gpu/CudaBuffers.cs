using System.Reflection;
using System.Runtime.InteropServices;
using ReadTwice.Kernels;
using ReadTwice.Kernels.Cuda;

namespace ReadTwice.Bench.Gpu;

/// <summary>Memory of a card and copies to and from it; everything is freed together.</summary>
internal sealed unsafe partial class CudaBuffers : IDisposable
{
    private const string Library = "cuda-driver";
    private readonly List<nint> owned = [];

    static CudaBuffers() => NativeLibrary.SetDllImportResolver(
        Assembly.GetExecutingAssembly(), (name, _, _) => name == Library && NativeLibrary.TryLoad(CudaApi.FileName, out nint library) ? library : 0);

    /// <summary>Memory whose every byte is 0xFF: bfloat16 and float32 of it are not numbers, so what nobody wrote shows.</summary>
    public DeviceMemory New(long bytes)
    {
        if (bytes == 0) return default;
        CudaApi.Check(Allocate(out nint address, (nuint)bytes), $"Allocating {bytes} bytes on the card");
        owned.Add(address);
        CudaApi.Check(Fill(address, 0xFF, (nuint)bytes), "Filling memory");
        return new(address, bytes);
    }

    public DeviceMemory Floats(float[] values) => Copy<float>(values);

    /// <summary>Rounded to bfloat16.</summary>
    public DeviceMemory Halves(float[] values) => Copy<ushort>([.. values.Select(Narrow)]);

    /// <summary>Random bfloat16 between -1 and 1: as many as are wanted, from a few megabytes that are laid down again and again.</summary>
    public DeviceMemory RandomHalves(long count, int seed)
    {
        var random = new Random(seed);
        var memory = New(count * 2);
        var part = new ushort[Math.Min(count, 1 << 22)];
        for (int i = 0; i < part.Length; i++) part[i] = BFloat16.Nearest(2 * random.NextSingle() - 1);
        for (long at = 0; at < count; at += part.Length)
            fixed (ushort* from = part)
                CudaApi.Check(ToDevice(memory.Address + (nint)(2 * at), from, (nuint)(2 * Math.Min(part.Length, count - at))), "Copying to the card");
        return memory;
    }

    public static float[] OfFloats(DeviceMemory memory) => Back<float>(memory);

    public static float[] OfHalves(DeviceMemory memory) => [.. Back<ushort>(memory).Select(bits => BitConverter.UInt32BitsToSingle((uint)bits << 16))];

    /// <summary>Milliseconds that something takes on the card, a number a run; the first runs do not count.</summary>
    public static float[] Time(int runs, Action launch)
    {
        const int WarmUp = 3;
        CudaApi.Check(NewEvent(out nint start, 0), "Making an event");
        CudaApi.Check(NewEvent(out nint end, 0), "Making an event");
        var times = new List<float>();
        for (int i = 0; i < runs + WarmUp; i++)
        {
            CudaApi.Check(Record(start, 0), "Recording an event");
            launch();
            CudaApi.Check(Record(end, 0), "Recording an event");
            CudaApi.Check(Wait(end), "Waiting for the card");
            CudaApi.Check(Elapsed(out float milliseconds, start, end), "Reading an event");
            if (i >= WarmUp) times.Add(milliseconds);
        }
        return [.. times.Order()];
    }

    public void Dispose()
    {
        foreach (nint address in owned) _ = Free(address);
        owned.Clear();
    }

    private DeviceMemory Copy<T>(T[] values) where T : unmanaged
    {
        var memory = New((long)values.Length * sizeof(T));
        fixed (T* from = values)
            if (values.Length > 0) CudaApi.Check(ToDevice(memory.Address, from, (nuint)memory.Bytes), "Copying to the card");
        return memory;
    }

    private static T[] Back<T>(DeviceMemory memory) where T : unmanaged
    {
        var values = new T[memory.Bytes / sizeof(T)];
        fixed (T* to = values)
            if (values.Length > 0) CudaApi.Check(FromDevice(to, memory.Address, (nuint)memory.Bytes), "Copying from the card");
        return values;
    }

    [LibraryImport(Library, EntryPoint = "cuMemAlloc_v2")]
    private static partial int Allocate(out nint address, nuint bytes);

    [LibraryImport(Library, EntryPoint = "cuMemFree_v2")]
    private static partial int Free(nint address);

    [LibraryImport(Library, EntryPoint = "cuMemsetD8_v2")]
    private static partial int Fill(nint address, byte value, nuint bytes);

    [LibraryImport(Library, EntryPoint = "cuMemcpyHtoD_v2")]
    private static partial int ToDevice(nint to, void* from, nuint bytes);

    [LibraryImport(Library, EntryPoint = "cuMemcpyDtoH_v2")]
    private static partial int FromDevice(void* to, nint from, nuint bytes);

    [LibraryImport(Library, EntryPoint = "cuEventCreate")]
    private static partial int NewEvent(out nint made, uint flags);

    [LibraryImport(Library, EntryPoint = "cuEventRecord")]
    private static partial int Record(nint which, nint stream);

    [LibraryImport(Library, EntryPoint = "cuEventSynchronize")]
    private static partial int Wait(nint which);

    [LibraryImport(Library, EntryPoint = "cuEventElapsedTime")]
    private static partial int Elapsed(out float milliseconds, nint start, nint end);
}
