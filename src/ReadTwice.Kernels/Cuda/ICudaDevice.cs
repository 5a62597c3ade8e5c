namespace ReadTwice.Kernels.Cuda;

/// <summary>A device that runs the kernels of this library: the driver of a card, or whatever else can execute their PTX.</summary>
internal interface ICudaDevice
{
    /// <summary>How many multiprocessors it has, by which work is split.</summary>
    int Multiprocessors { get; }

    /// <summary>Runs a kernel after everything that was launched before; may return before it has ended.</summary>
    /// <exception cref="CudaException">The device refused it; the message says why.</exception>
    void Launch(CudaLaunch launch);
}

/// <summary>One launch of a kernel.</summary>
/// <remarks>
/// The kernel takes one structure, <see cref="Arguments"/>, byte for byte as its source declares it. <see cref="Operands"/> is
/// all the memory that its pointers lead to: a device that checks accesses needs it, a card does not look.
/// </remarks>
internal readonly ref struct CudaLaunch
{
    /// <summary>The PTX that has the kernel, one of those that are embedded here.</summary>
    public required string Module { get; init; }

    /// <summary>The kernel's name.</summary>
    public required string Kernel { get; init; }

    /// <summary>Blocks along x, y and z.</summary>
    public required (int X, int Y, int Z) Grid { get; init; }

    /// <summary>Threads of a block.</summary>
    public required int Threads { get; init; }

    /// <summary>Bytes of shared memory of a block, beside those the kernel declares.</summary>
    public int SharedBytes { get; init; }

    /// <summary>The kernel's one parameter.</summary>
    public required ReadOnlySpan<byte> Arguments { get; init; }

    /// <summary>The memory it may touch.</summary>
    public required ReadOnlySpan<DeviceMemory> Operands { get; init; }
}

/// <summary>A piece of memory on a device; empty where there is none.</summary>
internal readonly record struct DeviceMemory(nint Address, long Bytes)
{
    /// <summary>Kernels read 16 bytes at a time.</summary>
    public const int Alignment = 16;

    /// <summary>Throws where it does not hold so many elements; nothing at all is allowed where it may be absent.</summary>
    /// <exception cref="ArgumentException">It holds another number of bytes, or starts between two pieces of 16.</exception>
    public void Require(string name, int elementBytes, ReadOnlySpan<long> sizes, bool optional = false)
    {
        if (optional && Address == 0) return;
        long need = elementBytes;
        foreach (long size in sizes) need = checked(need * size);
        if (Bytes != need)
            throw new ArgumentException($"{name} holds {Bytes} bytes; [{string.Join(", ", sizes.ToArray())}] of {elementBytes} bytes each needs {need}.", name);
        if (Address % Alignment != 0) throw new ArgumentException($"{name} starts at {Address:x}; a multiple of {Alignment} is needed. Copy it first.", name);
    }
}

/// <summary>A device, its driver or a kernel cannot be used; the message says why and what to do.</summary>
public sealed class CudaException(string message) : PlatformNotSupportedException(message);
