using System.Text.Json;
using ReadTwice.Kernels;
using ReadTwice.Tests.Kernels;

namespace ReadTwice.Tests.Cuda;

/// <summary>What a token costs, counted by the interpreter: a change of the kernels that makes them do more is seen here.</summary>
/// <remarks>
/// Per token of one head, as the difference of two lengths: instructions of a warp, passes over shared memory and those without
/// bank conflicts, and bytes of global memory in whole sectors. The recorded ones are in costs.json; a better kernel changes that file.
/// </remarks>
public class CudaCostTests
{
    private static readonly Dictionary<string, Cost> recorded = Recorded();

    public sealed record Cost(double Instructions, double SharedPasses, double IdealSharedPasses, double GlobalBytes);

    [Theory, InlineData("decoder token, V = 64", 64, false), InlineData("encoder token, V = 64", 64, true), InlineData("decoder token, V = 112", 112, false)]
    public void A_token_costs_what_is_recorded(string name, int V, bool encoder)
    {
        PtxCounts Read(int T, int P)
        {
            using var run = new CudaAttentionRun(AttentionRun.Random(new AttentionSizes(1, T, 1, 16, V), P));
            var device = new PtxDevice();
            run.Forward(device, withNorms: false);
            return device.Launches.Single().Counts;
        }
        var (few, many) = encoder ? (Read(64, 128), Read(64, 256)) : (Read(128, 0), Read(256, 0));
        Check(name, few, many, 128);
    }

    private static void Check(string name, PtxCounts few, PtxCounts many, double tokens)
    {
        var found = new Cost(
            Math.Round((many.Instructions.Sum() - few.Instructions.Sum()) / tokens, 2), Math.Round((many.SharedPasses - few.SharedPasses) / tokens, 2),
            Math.Round((many.IdealSharedPasses - few.IdealSharedPasses) / tokens, 2), Math.Round((many.GlobalSectors - few.GlobalSectors) * 32 / tokens, 2));
        Assert.True(recorded.TryGetValue(name, out var cost) && cost == found, $"costs.json has {cost} for a {name}; it costs {found}");
    }

    private static Dictionary<string, Cost> Recorded()
    {
        using var stream = typeof(CudaCostTests).Assembly.GetManifestResourceStream("cuda-costs.json")!;
        return JsonSerializer.Deserialize<Dictionary<string, Cost>>(stream)!;
    }
}
