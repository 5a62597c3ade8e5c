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
        var (few, many) = encoder ? (Read(64, 128, V, false), Read(64, 256, V, false)) : (Read(128, 0, V, false), Read(256, 0, V, false));
        Check(name, few, many);
    }

    [Theory, InlineData("decoder token, backward, V = 64", false), InlineData("encoder token, backward, V = 64", true)]
    public void A_token_costs_backward_what_is_recorded(string name, bool encoder)
    {
        var (few, many) = encoder ? (Read(64, 128, 64, true), Read(64, 256, 64, true)) : (Read(128, 0, 64, true), Read(256, 0, 64, true));
        Check(name, few, many);
    }

    [Fact]
    public void A_step_costs_what_is_recorded()
    {
        using var run = new CudaAttentionRun(AttentionRun.Random(new AttentionSizes(1, 1, 1, 16, 64)));
        var device = new PtxDevice();
        run.Step(device);
        var counts = device.Launches.Single().Counts;
        Require("step of a head, V = 64", new(counts.Instructions.Sum(), counts.SharedPasses, counts.IdealSharedPasses, counts.GlobalSectors * 32));
    }

    // What all launches of a pass cost.
    private static Cost Read(int T, int P, int V, bool backward)
    {
        using var run = new CudaAttentionRun(AttentionRun.Random(new AttentionSizes(1, T, 1, 16, V), P));
        var device = new PtxDevice();
        if (backward) run.Backward(device);
        else run.Forward(device, withNorms: false);
        var counts = device.Launches.Skip(backward ? 1 : 0).Select(launch => launch.Counts).ToList();
        return new(
            counts.Sum(count => count.Instructions.Sum()), counts.Sum(count => count.SharedPasses), counts.Sum(count => count.IdealSharedPasses),
            counts.Sum(count => count.GlobalSectors) * 32);
    }

    private static void Check(string name, Cost few, Cost many)
    {
        const double Tokens = 128;   // by which the lengths differ
        var found = new Cost(
            Math.Round((many.Instructions - few.Instructions) / Tokens, 2), Math.Round((many.SharedPasses - few.SharedPasses) / Tokens, 2),
            Math.Round((many.IdealSharedPasses - few.IdealSharedPasses) / Tokens, 2), Math.Round((many.GlobalBytes - few.GlobalBytes) / Tokens, 2));
        Require(name, found);
    }

    private static void Require(string name, Cost found) =>
        Assert.True(recorded.TryGetValue(name, out var cost) && cost == found, $"costs.json has {cost} for a {name}; it costs {found}");

    private static Dictionary<string, Cost> Recorded()
    {
        using var stream = typeof(CudaCostTests).Assembly.GetManifestResourceStream("cuda-costs.json")!;
        return JsonSerializer.Deserialize<Dictionary<string, Cost>>(stream)!;
    }
}
