using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using ReadTwice.Kernels.Cuda;
using TorchSharp;

namespace ReadTwice.Native;

/// <summary>The one place that loads libtorch and sets the threads and the process up for it.</summary>
public static partial class Libtorch
{
    private const string Shim = "LibTorchSharp";
    private static readonly Lock gate = new();
    private static nint shim;
    private static string? problem;

    /// <summary>An NVIDIA card, for a model to lie on and compute.</summary>
    /// <exception cref="PlatformNotSupportedException">There is none, or this build cannot use it; the message says what to do.</exception>
    public static torch.Device Cuda(int number = 0)
    {
        Require();
        if (!HasCuda())
        {
            // The driver knows best why, unless it finds nothing wrong: then libtorch was built without CUDA.
            _ = CudaDriver.Find(number, out string? problem);
            throw new PlatformNotSupportedException(problem ??
                "This program has the libtorch of the processor, which cannot compute on a card. Build it with the package libtorch-cuda-12.8-linux-x64 or libtorch-cuda-12.8-win-x64 instead (docs/gpu.md).");
        }
        return new(DeviceType.CUDA, number);
    }

    private static bool HasCuda()
    {
        try
        {
            return torch.cuda_is_available();
        }
        catch (Exception e) when (e is InvalidOperationException or NotSupportedException or DllNotFoundException)
        {
            return false;
        }
    }

    /// <summary>Makes sure libtorch is loaded.</summary>
    /// <exception cref="PlatformNotSupportedException">It cannot be loaded on this machine; the message says what to do.</exception>
    public static void Require()
    {
        try
        {
            using var probe = torch.zeros(1);
        }
        catch (Exception e) when (e is TypeInitializationException or NotSupportedException or DllNotFoundException)
        {
            string reason = problem ?? Innermost(e).Message.Split('\n')[0];
            throw new PlatformNotSupportedException(
                $"libtorch 2.10 could not be loaded: {reason} " +
                "It needs 64-bit Linux (glibc 2.28 or newer), Windows x64 or macOS arm64, and the package libtorch-cpu-<platform> 2.10.0 beside the program.", e);
        }
    }

    /// <summary>
    /// Sets up a program that spends its time in tensors: large buffers are kept instead of returned to the system and
    /// mapped anew by every operator, and libtorch's threads spin briefly before they sleep. Call it first thing in Main.
    /// </summary>
    /// <remarks>Linux only; elsewhere nothing is done. Measured: elementwise operators on 8,192 tokens 3 to 7 times faster.</remarks>
    public static void PrepareProcess()
    {
        if (!OperatingSystem.IsLinux()) return;
        const int TrimThreshold = -1, TopPad = -2, MmapMax = -4;
        try
        {
            _ = SetOption(MmapMax, 0);
            _ = SetOption(TrimThreshold, int.MaxValue);
            _ = SetOption(TopPad, 64 << 20);
            // Environment.SetEnvironmentVariable does not reach native code, and libgomp reads this once, when it is loaded.
            _ = SetEnvironment("GOMP_SPINCOUNT", "20000", 0);
        }
        catch (EntryPointNotFoundException)
        {
            // Another C library: these are settings for speed only.
        }
    }

    /// <summary>How many threads libtorch's operators use when called from this thread; a setting per calling thread.</summary>
    [SuppressMessage("ApiDesign", "RS0030", Justification = "This is the one place that owns threads.")]
    public static int Threads
    {
        get => torch.get_num_threads();
        set => torch.set_num_threads(value);
    }

    [ModuleInitializer]
    [SuppressMessage("Usage", "CA2255", Justification = "The library must load before the first tensor, whoever makes it.")]
    internal static void Register()
    {
        var context = AssemblyLoadContext.GetLoadContext(typeof(torch).Assembly) ?? AssemblyLoadContext.Default;
        context.ResolvingUnmanagedDll += (_, name) => name == Shim && OperatingSystem.IsLinux() ? LoadRelaxed() : 0;
    }

    // Asked only after the regular load has failed, which it does where the C++ runtime is older than GCC 13's.
    private static nint LoadRelaxed()
    {
        lock (gate)
        {
            if (shim != 0) return shim;
            if (Folder("libLibTorchSharp.so") is not { } own || Folder("libtorch_cpu.so") is not { } torchFolder)
            {
                problem = "libLibTorchSharp.so or libtorch_cpu.so is not beside the program.";
                return 0;
            }

            // Loaded first and by path: the copy below lies in no folder where its needs could be found.
            foreach (string library in (string[])["libgomp-98b21ff3.so.1", "libc10.so", "libtorch_cpu.so", "libtorch.so"])
                NativeLibrary.TryLoad(Path.Combine(torchFolder, library), out _);
            byte[] image = File.ReadAllBytes(Path.Combine(own, "libLibTorchSharp.so"));
            if (!new ElfRelaxation(image).Apply())
            {
                problem = "libLibTorchSharp.so needs a newer C++ runtime (GCC 13's libstdc++) and is not the file this program knows how to adapt.";
                return 0;
            }
            return shim = LoadFromMemory(image);
        }
    }

    private static nint LoadFromMemory(byte[] image)
    {
        int file = CreateMemoryFile("libLibTorchSharp.so", 0);
        if (file < 0)
        {
            problem = $"memfd_create failed with error {Marshal.GetLastPInvokeError()}.";
            return 0;
        }
        using var handle = new Microsoft.Win32.SafeHandles.SafeFileHandle(file, ownsHandle: true);
        RandomAccess.Write(handle, image, 0);
        if (NativeLibrary.TryLoad($"/proc/self/fd/{file}", out nint library)) return library;
        problem = "the adapted libLibTorchSharp.so was refused by the loader; a newer libstdc++ (GCC 13's) on LD_LIBRARY_PATH also helps.";
        return 0;
    }

    private static string? Folder(string file)
    {
        IEnumerable<string> folders = [AppContext.BaseDirectory, Path.Combine(AppContext.BaseDirectory, "runtimes", "linux-x64", "native")];
        if (AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") is string more)
            folders = folders.Concat(more.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries));
        return folders.FirstOrDefault(folder => File.Exists(Path.Combine(folder, file)));
    }

    private static Exception Innermost(Exception e) => e.InnerException is { } inner ? Innermost(inner) : e;

    [LibraryImport("libc", EntryPoint = "memfd_create", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int CreateMemoryFile(string name, uint flags);

    [LibraryImport("libc", EntryPoint = "mallopt")]
    private static partial int SetOption(int option, int value);

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironment(string name, string value, int overwrite);
}
