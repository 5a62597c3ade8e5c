using System.Diagnostics;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using ReadTwice.Kernels;

namespace ReadTwice.Checkpoints;

/// <summary>A file mapped read-only into memory, so that weights are neither read nor copied before they are used.</summary>
internal sealed unsafe class MappedFile : IDisposable
{
    private static readonly List<MappedFile> open = [];
    private readonly MemoryMappedFile file;
    private readonly MemoryMappedViewAccessor view;
    private readonly List<nint> copies = [];
    private long copied;
    private bool disposed;

    public MappedFile(string path)
    {
        (Path, Name) = (System.IO.Path.GetFullPath(path), System.IO.Path.GetFileName(path));
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        Length = stream.Length;
        if (Length == 0) throw Bad("the file is empty; download it again");
        file = MemoryMappedFile.CreateFromFile(
            stream, mapName: null, capacity: 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
        view = file.CreateViewAccessor(0, Length, MemoryMappedFileAccess.Read);
        byte* start = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        Data = start + view.PointerOffset;
        lock (open) open.Add(this);
    }

    public string Path { get; }

    public string Name { get; }

    public long Length { get; }

    public byte* Data { get; }

    /// <summary>Bytes of the file.</summary>
    /// <exception cref="InvalidDataException">The file does not reach so far.</exception>
    public ReadOnlySpan<byte> Span(long offset, int length) => offset >= 0 && length >= 0 && offset <= Length - length
        ? new(Data + offset, length)
        : throw Bad($"{length} bytes are needed from byte {offset}, but the file has {Length}; it is cut short, download it again");

    /// <summary>Where bytes of the file lie or, if no element of this size may lie there, where a copy of them lies.</summary>
    /// <remarks>
    /// libtorch's vector loads take aligned elements for granted. Files seldom need the copy, since writers align what they store;
    /// it is freed with the rest.
    /// </remarks>
    public byte* Aligned(long offset, long length, int elementSize)
    {
        Debug.Assert(offset >= 0 && length >= 0 && offset <= Length - length, "The caller checks bounds, to name what is wrong.");
        byte* start = Data + offset;
        if ((nuint)start % (nuint)elementSize == 0) return start;
        // Parts of an honest file do not overlap, so their copies are no larger than it.
        if ((copied += length) > Length)
            throw Bad("parts of the file overlap and claim more bytes than it has; download it again");
        byte* copy = (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(length, 1), sizeof(double));
        copies.Add((nint)copy);
        Buffer.MemoryCopy(start, copy, length, length);
        return copy;
    }

    /// <summary>Lets the system take back the memory of bytes of a mapped file until they are read again; of others nothing.</summary>
    public static void Release(byte* start, long length)
    {
        const int DontNeed = 4;
        long page = Environment.SystemPageSize;
        lock (open)
        {
            // Elsewhere than in a file this advice would lose what the memory holds.
            if (!open.Exists(file => start >= file.Data && start + length <= file.Data + file.Length)) return;
            long first = ((long)start + page - 1) / page * page, end = ((long)start + length) / page * page;
            if (end > first) NativePages.Advise((byte*)first, end - first, DontNeed);
        }
    }

    public InvalidDataException Bad(string what) => new($"{Name}: {what}.");

    public void Dispose()
    {
        if (disposed) return;
        disposed = true;
        lock (open) open.Remove(this);
        foreach (nint copy in copies) NativeMemory.AlignedFree((void*)copy);
        view.SafeMemoryMappedViewHandle.ReleasePointer();
        view.Dispose();
        file.Dispose();
    }
}
