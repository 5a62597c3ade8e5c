using System.Runtime.InteropServices;

namespace ReadTwice.Tests.Kernels;

/// <summary>
/// Values that end, or start, where memory does: a kernel that reads or writes one float beyond them brings the process down.
/// Linux alone.
/// </summary>
internal sealed unsafe partial class Fenced : IDisposable
{
    private const int NoAccess = 0, ReadWrite = 3, PrivateAnonymous = 0x22;
    private readonly nint memory;
    private readonly int bytes, count;
    private readonly float* start;

    public Fenced(In values, bool atEnd)
    {
        int page = Environment.SystemPageSize, inside = (values.Length * sizeof(float) + page - 1) / page * page;
        (bytes, count) = (inside + 2 * page, values.Length);
        memory = MemoryMap(0, bytes, NoAccess, PrivateAnonymous, -1, 0);
        Assert.NotEqual(-1, memory);
        Assert.Equal(0, Protect(memory + page, inside, ReadWrite));
        start = (float*)(memory + page + (atEnd ? inside - values.Length * sizeof(float) : 0));
        values.CopyTo(Span);
    }

    public Ref Span => new(start, count);

    public void Dispose() => _ = Unmap(memory, bytes);

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial nint MemoryMap(nint address, nint length, int access, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int Protect(nint address, nint length, int access);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(nint address, nint length);
}
