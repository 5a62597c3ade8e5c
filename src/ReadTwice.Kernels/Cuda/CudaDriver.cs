using System.Runtime.InteropServices;
using System.Text;

namespace ReadTwice.Kernels.Cuda;

/// <summary>A card, by its driver: compiles the embedded PTX for it at the first launch and launches on the default stream.</summary>
/// <remarks>Works in the card's primary context, which libtorch uses too, so each takes the other's pointers. Safe from any thread.</remarks>
internal sealed unsafe class CudaDriver : ICudaDevice
{
    /// <summary>What the kernels need: PTX 7.0 came with CUDA 11.0, and their instructions with Ampere.</summary>
    public const int LeastDriver = 11000, LeastCapability = 80;

    private const int MultiprocessorCount = 16, CapabilityMajor = 75, CapabilityMinor = 76, MostSharedBytes = 97;
    private const int DynamicSharedBytes = 8, ErrorLog = 5, ErrorLogBytes = 6;
    private const int SharedBytesWithoutAsking = 48 << 10;
    private static readonly Dictionary<int, (CudaDriver? Driver, string? Problem)> opened = [];
    private static readonly Lock gate = new();

    private readonly nint context;
    private readonly int mostSharedBytes;
    private readonly Dictionary<string, nint> modules = [];
    private readonly Dictionary<(string, string), nint> functions = [];

    private CudaDriver(int ordinal)
    {
        CudaApi.Check(CudaApi.Init(0), "Starting the CUDA driver");
        CudaApi.Check(CudaApi.DriverVersion(out int version), "Asking the CUDA driver for its version");
        if (version < LeastDriver)
            throw new CudaException($"The CUDA driver is of version {version / 1000}.{version % 1000 / 10}; 11.0 or newer is needed. Update the driver.");
        CudaApi.Check(CudaApi.DeviceCount(out int count), "Counting CUDA cards");
        if (ordinal < 0 || ordinal >= count) throw new CudaException($"There is no CUDA card {ordinal}; this machine has {count}.");
        CudaApi.Check(CudaApi.Device(out int device, ordinal), $"Opening CUDA card {ordinal}");
        byte* name = stackalloc byte[256];
        CudaApi.Check(CudaApi.DeviceName(name, 256, device), "Asking a card for its name");
        Name = Marshal.PtrToStringUTF8((nint)name)!;
        int capability = 10 * Attribute(CapabilityMajor) + Attribute(CapabilityMinor);
        if (capability < LeastCapability)
            throw new CudaException($"{Name} has compute capability {capability / 10}.{capability % 10}; the kernels need 8.0 (Ampere) or newer.");
        Multiprocessors = Attribute(MultiprocessorCount);
        mostSharedBytes = Attribute(MostSharedBytes);
        CudaApi.Check(CudaApi.RetainPrimaryContext(out context, device), $"Opening {Name}");

        int Attribute(int attribute)
        {
            CudaApi.Check(CudaApi.DeviceAttribute(out int value, attribute, device), "Asking a card what it can");
            return value;
        }
    }

    /// <summary>What the card calls itself.</summary>
    public string Name { get; }

    /// <inheritdoc/>
    public int Multiprocessors { get; }

    /// <summary>A card by its number, or null with the reason why the kernels cannot use it; asked once, then remembered.</summary>
    public static CudaDriver? Find(int ordinal, out string? problem)
    {
        lock (gate)
        {
            if (!opened.TryGetValue(ordinal, out var found)) opened[ordinal] = found = Open(ordinal);
            problem = found.Problem;
            return found.Driver;
        }
    }

    /// <inheritdoc/>
    public void Launch(CudaLaunch launch)
    {
        nint function = Function(launch.Module, launch.Kernel, launch.SharedBytes);
        var (x, y, z) = launch.Grid;
        fixed (byte* arguments = launch.Arguments)
        {
            void* parameter = arguments;
            CudaApi.Check(
                CudaApi.Launch(function, (uint)x, (uint)y, (uint)z, (uint)launch.Threads, 1, 1, (uint)launch.SharedBytes, 0, &parameter, null),
                $"Launching {launch.Kernel} on {Name}");
        }
    }

    /// <summary>A kernel, compiled for this card and allowed so much shared memory.</summary>
    /// <exception cref="CudaException">The card has not enough, or its driver does not take the PTX.</exception>
    public nint Function(string module, string kernel, int sharedBytes)
    {
        if (sharedBytes > mostSharedBytes)
            throw new CudaException($"{kernel} needs {sharedBytes} bytes of shared memory a block; {Name} has {mostSharedBytes}.");
        // A context belongs to a thread, and automatic differentiation has threads of its own.
        CudaApi.Check(CudaApi.SetContext(context), $"Entering the context of {Name}");
        lock (functions)
        {
            if (!functions.TryGetValue((module, kernel), out nint function))
            {
                if (!modules.TryGetValue(module, out nint loaded)) modules[module] = loaded = Load(module);
                CudaApi.Check(CudaApi.Function(out function, loaded, kernel), $"Finding {kernel}");
                functions[(module, kernel)] = function;
            }
            if (sharedBytes > SharedBytesWithoutAsking)
                CudaApi.Check(CudaApi.SetFunctionAttribute(function, DynamicSharedBytes, sharedBytes), $"Giving {kernel} {sharedBytes} bytes of shared memory");
            return function;
        }
    }

    private nint Load(string module)
    {
        const int LogBytes = 4096;
        byte[] ptx = Encoding.UTF8.GetBytes(CudaModule.Ptx(module) + '\0');
        byte* log = stackalloc byte[LogBytes];
        log[0] = 0;
        int* names = stackalloc int[] { ErrorLog, ErrorLogBytes };
        nint* values = stackalloc nint[] { (nint)log, LogBytes };
        fixed (byte* image = ptx)
        {
            int result = CudaApi.LoadModule(out nint loaded, image, 2, names, values);
            string words = Marshal.PtrToStringUTF8((nint)log)!.ReplaceLineEndings(" ").Trim();
            CudaApi.Check(result, $"Compiling {module} for {Name}{(words.Length > 0 ? $" ({words})" : "")}");
            return loaded;
        }
    }

    private static (CudaDriver?, string?) Open(int ordinal)
    {
        try
        {
            return (new(ordinal), null);
        }
        catch (DllNotFoundException)
        {
            return (null, $"There is no CUDA driver ({CudaApi.FileName}) on this machine. Install NVIDIA's driver, or leave out the device.");
        }
        catch (EntryPointNotFoundException e)
        {
            return (null, $"The CUDA driver is too old: {e.Message} Update the driver.");
        }
        catch (CudaException e)
        {
            return (null, e.Message);
        }
    }
}
