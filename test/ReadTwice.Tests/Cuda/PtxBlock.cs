namespace ReadTwice.Tests.Cuda;

/// <summary>What a launch cost.</summary>
internal sealed class PtxCounts(int instructions)
{
    /// <summary>How often a warp executed each instruction of the kernel.</summary>
    public long[] Instructions { get; } = new long[instructions];

    /// <summary>Passes over the banks of shared memory that accesses took, and that they would take without conflicts.</summary>
    public long SharedPasses { get; set; }
    public long IdealSharedPasses { get; set; }

    /// <summary>Sectors of 32 bytes that global accesses touched, each instruction for itself.</summary>
    public long GlobalSectors { get; set; }
}

/// <summary>One block of a launch: its warps run one after another in random order, each up to the next barrier.</summary>
internal sealed class PtxBlock(PtxKernel kernel, PtxGlobalMemory global, PtxCounts counts, byte[] parameters, int index, int sharedBytes)
{
    public required (int X, int Y, int Z) Grid { get; init; }
    public required (int X, int Y, int Z) At { get; init; }
    public required int Threads { get; init; }

    public PtxKernel Kernel => kernel;
    public PtxGlobalMemory Global => global;
    public PtxCounts Counts => counts;
    public byte[] Parameters => parameters;
    public int Index => index;
    public PtxSharedMemory Shared { get; } = new(sharedBytes);

    public void Run(Random order)
    {
        var warps = Enumerable.Range(0, (Threads + PtxWarp.Lanes - 1) / PtxWarp.Lanes).Select(i => new PtxWarp(this, i, Threads)).ToArray();
        while (warps.Any(warp => !warp.HasEnded))
        {
            order.Shuffle(warps);
            foreach (var warp in warps) warp.Run();
            if (warps.Any(warp => warp.IsAtBarrier) && warps.Any(warp => !warp.IsAtBarrier))
                throw new PtxException($"{Kernel.Name}: a part of the warps ended while others wait at a barrier");
            foreach (var warp in warps) warp.IsAtBarrier = false;
            Shared.Barrier();
        }
        if (warps.FirstOrDefault(warp => warp.Groups.Any(group => group.Count > 0) || warp.OpenGroup.Count > 0) is not null)
            throw new PtxException($"{Kernel.Name}: a block ended with copies in flight");
        foreach (var warp in warps) warp.Release();
    }

    public ulong Special(string name) => (ulong)(name switch
    {
        "%ctaid.x" => At.X,
        "%ctaid.y" => At.Y,
        "%ctaid.z" => At.Z,
        "%nctaid.x" => Grid.X,
        "%nctaid.y" => Grid.Y,
        "%nctaid.z" => Grid.Z,
        "%ntid.x" => Threads,
        "%ntid.y" or "%ntid.z" => 1,
        "%tid.y" or "%tid.z" => 0,
        _ => throw new PtxException($"special register {name}"),
    });
}
