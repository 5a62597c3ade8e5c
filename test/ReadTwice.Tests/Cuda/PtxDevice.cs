using ReadTwice.Kernels.Cuda;

namespace ReadTwice.Tests.Cuda;

/// <summary>A card that is not there: runs the PTX that ships on this process's memory, and objects to what hardware would not define.</summary>
internal sealed class PtxDevice(int seed = 1) : ICudaDevice
{
    private static readonly Dictionary<(string, string), PtxKernel> parsed = [];
    private static readonly Lock gate = new();

    /// <summary>Puts another kernel in place of the one that ships.</summary>
    public Func<PtxKernel, PtxKernel> Change { get; init; } = kernel => kernel;

    /// <summary>What every launch so far cost, with the kernel's name.</summary>
    public List<(PtxKernel Kernel, PtxCounts Counts)> Launches { get; } = [];

    public int Multiprocessors { get; init; } = 4;

    public void Launch(CudaLaunch launch)
    {
        var kernel = Change(Kernel(launch.Module, launch.Kernel));
        using var global = new PtxGlobalMemory();
        foreach (var operand in launch.Operands) global.Add(operand.Address, operand.Bytes);
        Launches.Add((kernel, Run(kernel, global, launch.Grid, launch.Threads, launch.SharedBytes, launch.Arguments.ToArray(), seed)));
    }

    /// <summary>One of the embedded kernels.</summary>
    public static PtxKernel Kernel(string module, string name)
    {
        lock (gate)
        {
            if (!parsed.TryGetValue((module, name), out var kernel)) parsed[(module, name)] = kernel = PtxParser.Parse(CudaModule.Ptx(module), name);
            return kernel;
        }
    }

    public static PtxCounts Run(
        PtxKernel kernel, PtxGlobalMemory global, (int X, int Y, int Z) grid, int threads, int sharedBytes, byte[] parameters, int seed = 1)
    {
        if (threads > kernel.MaxThreads) throw new PtxException($"{kernel.Name} was built for {kernel.MaxThreads} threads a block, not {threads}");
        if (parameters.Length != kernel.ParameterBytes)
            throw new PtxException($"{kernel.Name} takes {kernel.ParameterBytes} bytes of parameters, not {parameters.Length}");
        var counts = new PtxCounts(kernel.Code.Length);
        var order = new Random(seed);
        int index = 0;
        for (int z = 0; z < grid.Z; z++)
            for (int y = 0; y < grid.Y; y++)
                for (int x = 0; x < grid.X; x++)
                    new PtxBlock(kernel, global, counts, parameters, index++, kernel.SharedBytes + sharedBytes)
                    {
                        Grid = grid,
                        At = (x, y, z),
                        Threads = threads,
                    }.Run(order);
        return counts;
    }
}
