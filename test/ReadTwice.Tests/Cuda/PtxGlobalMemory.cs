using System.Buffers;

namespace ReadTwice.Tests.Cuda;

/// <summary>The memory that a launch may touch: accesses outside are errors, and so are two blocks at one word, one of them writing.</summary>
internal sealed unsafe class PtxGlobalMemory : IDisposable
{
    private const int Nobody = -1, Many = -2;
    private readonly List<Region> regions = [];
    private Region? recent;

    /// <summary>Allows access to a piece of this process's memory.</summary>
    public void Add(nint address, long bytes)
    {
        if (bytes == 0 || regions.Any(region => region.Contains(address, bytes))) return;
        regions.Add(new((ulong)address, bytes));
    }

    public byte* Read(ulong address, int bytes, int block, PtxInstruction instruction)
    {
        var region = Find(address, bytes, instruction);
        var (first, last) = region.Words(address, bytes);
        for (int word = first; word <= last; word++)
        {
            if (region.Writer[word] != Nobody && region.Writer[word] != block)
                throw instruction.Error($"block {block} reads global memory that block {region.Writer[word]} writes in the same launch");
            ref int reader = ref region.Reader[word];
            reader = reader == Nobody || reader == block ? block : Many;
        }
        return (byte*)address;
    }

    public byte* Write(ulong address, int bytes, int block, PtxInstruction instruction)
    {
        var region = Find(address, bytes, instruction);
        var (first, last) = region.Words(address, bytes);
        for (int word = first; word <= last; word++)
        {
            if (region.Writer[word] != Nobody && region.Writer[word] != block)
                throw instruction.Error($"blocks {region.Writer[word]} and {block} write the same global memory");
            if (region.Reader[word] != Nobody && region.Reader[word] != block)
                throw instruction.Error($"block {block} writes global memory that another block reads in the same launch");
            region.Writer[word] = block;
        }
        return (byte*)address;
    }

    public void Dispose()
    {
        foreach (var region in regions) region.Dispose();
    }

    private Region Find(ulong address, int bytes, PtxInstruction instruction)
    {
        if (address % (ulong)bytes != 0) throw instruction.Error($"global address {address:x} is not a multiple of {bytes}");
        if (recent is null || !recent.Contains((nint)address, bytes))
            recent = regions.Find(region => region.Contains((nint)address, bytes))
                ?? throw instruction.Error($"global access out of bounds: {bytes} bytes at {address:x}");
        return recent;
    }

    private sealed class Region(ulong start, long bytes) : IDisposable
    {
        // One entry for each two bytes: the smallest thing that a kernel here stores.
        public readonly int[] Writer = Filled(bytes), Reader = Filled(bytes);

        public bool Contains(nint address, long count) => (ulong)address >= start && (ulong)address + (ulong)count <= start + (ulong)bytes;

        public (int First, int Last) Words(ulong address, int count) =>
            ((int)((address - start) / 2), (int)((address - start + (ulong)count - 1) / 2));

        private static int[] Filled(long bytes)
        {
            int[] filled = ArrayPool<int>.Shared.Rent((int)((bytes + 1) / 2));
            filled.AsSpan(0, (int)((bytes + 1) / 2)).Fill(Nobody);
            return filled;
        }

        public void Dispose()
        {
            ArrayPool<int>.Shared.Return(Writer);
            ArrayPool<int>.Shared.Return(Reader);
        }
    }
}
