using System.Runtime.InteropServices;

namespace ReadTwice.Kernels;

/// <summary>Memory outside the heap, in pages of 2 MB where it is large and the system can: streams read it faster so.</summary>
/// <remarks>A handle, so that who reads it can keep it from being freed meanwhile, and so that it is freed if nobody does.</remarks>
internal sealed unsafe partial class NativePages : SafeHandle
{
    private const int LargePage = 2 << 20, Line = 64, UseLargePages = 14;

    /// <exception cref="OutOfMemoryException">There is not so much memory.</exception>
    public NativePages(long bytes) : base(0, ownsHandle: true)
    {
        bool large = bytes >= LargePage;
        SetHandle((nint)NativeMemory.AlignedAlloc((nuint)bytes, large ? (nuint)LargePage : Line));
        if (large) Advise((byte*)handle, bytes / LargePage * LargePage, UseLargePages);
    }

    public override bool IsInvalid => handle == 0;

    public byte* Start => (byte*)handle;

    protected override bool ReleaseHandle()
    {
        NativeMemory.AlignedFree((void*)handle);
        return true;
    }

    /// <summary>Tells Linux how whole pages will be used; where it does not take the advice, and elsewhere, nothing changes.</summary>
    public static void Advise(byte* start, long bytes, int advice)
    {
        if (!OperatingSystem.IsLinux()) return;
        try
        {
            _ = Advise((void*)start, (nuint)bytes, advice);
        }
        catch (EntryPointNotFoundException)
        {
            // Another C library without it.
        }
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint length, int advice);
}
