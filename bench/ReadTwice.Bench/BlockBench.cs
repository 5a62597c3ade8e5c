using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Bench;

/// <summary>What stands around the matrix products of a block, against libtorch's operators.</summary>
/// <remarks>The shapes of a model of 360 million parameters: width 1,024, 2,048 channels between, 16 heads of 64, float32.</remarks>
public static class BlockBench
{
    private const long D = 1024, Inner = 2048, Taps = 3, H = 16, E = 64;
    private const double Epsilon = 1e-5;

    // Another order of sums, and another exponential.
    private const double Tolerance = 1e-4;

    /// <summary>A row for each part and length, as they are measured.</summary>
    /// <param name="lengths">Tokens.</param>
    /// <param name="rounds">Samples of each contender.</param>
    /// <exception cref="InvalidOperationException">Ours and libtorch's results differ.</exception>
    public static IEnumerable<Row> Run(IEnumerable<long> lengths, int rounds)
    {
        foreach (long T in lengths)
        {
            yield return Convolution(T, rounds);
            yield return SwiGlu(T, rounds);
            yield return Norm(T, rounds);
            foreach (long W in (long[])[128, 256]) yield return Window(T, W, rounds);
        }
    }

    private static Row Convolution(long T, int rounds)
    {
        using var scope = NewDisposeScope();
        var halves = randn(1, T, 2 * Inner).chunk(2, -1);
        Tensor weight = randn(Inner, 1, Taps), bias = randn(Inner), state = zeros(1, Inner, Taps - 1);
        return Race("short convolution, SiLU, gate", new() { ["T"] = T, ["C"] = Inner, ["K"] = Taps }, rounds, "conv1d, silu, mul",
            () => Ops.ShortConvolution(halves[0], weight, bias, state, true, halves[1]).Y,
            () => nn.functional.silu(nn.functional.conv1d(halves[0].transpose(1, 2), weight, bias, padding: Taps - 1, groups: Inner)
                .narrow(2, 0, T).transpose(1, 2)) * halves[1]);
    }

    private static Row SwiGlu(long T, int rounds)
    {
        using var scope = NewDisposeScope();
        var halves = randn(1, T, 2 * Inner).chunk(2, -1);
        return Race("SwiGLU", new() { ["T"] = T, ["C"] = Inner }, rounds, "silu, mul",
            () => Ops.SwiGlu(halves[0], halves[1]), () => halves[0] * nn.functional.silu(halves[1]));
    }

    private static Row Norm(long T, int rounds)
    {
        using var scope = NewDisposeScope();
        Tensor x = randn(1, T, D), added = randn(1, T, D), weight = randn(D);
        return Race("residual, RMSNorm", new() { ["T"] = T, ["C"] = D }, rounds, "add, pow, mean, rsqrt, mul",
            () => Ops.RmsNormOfSum(x, added, weight, Epsilon).Normalised,
            () =>
            {
                var sum = x.Plus(added);
                return sum * sum.pow(Number(2)).mean([-1], keepdim: true).Plus(Epsilon).rsqrt() * weight;
            });
    }

    private static Row Window(long T, long W, int rounds)
    {
        using var scope = NewDisposeScope();
        var parts = randn(1, T, 3 * H * E).chunk(3, -1);
        var turns = new Layers.Rotary(E).Turns(0, T, E);
        Tensor keys = zeros(1, H, W, E), values = zeros(1, H, W, E);
        return Race($"sliding window of {W}", new() { ["T"] = T, ["H"] = H, ["E"] = E, ["W"] = W }, rounds, "rotary and masked attention in blocks",
            () => Ops.SlidingWindowAttention(parts[0], parts[1], parts[2], keys, values, 0.125, 0, turns).O,
            () => Ops.WindowByOperators(parts[0], parts[1], parts[2], keys, values, 0.125, 0, turns, null).O);
    }

    private static Row Race(string bench, Dictionary<string, long> shape, int rounds, string peer, Func<Tensor> ours, Func<Tensor> theirs)
    {
        using var inference = no_grad();
        double agreement = Agreement.Within(Tolerance, Difference(ours, theirs), $"results of {bench}");
        List<Contender> contenders = [new(bench, () => Free(ours)), new($"{peer} (libtorch)", () => Free(theirs))];
        return Row.Of(bench, shape, contenders, Stopwatches.Race(rounds, contenders), _ => agreement).Single();
    }

    private static double Difference(Func<Tensor> ours, Func<Tensor> theirs)
    {
        using var scope = NewDisposeScope();
        return Agreement.Of(ours(), theirs());
    }

    private static void Free(Func<Tensor> run)
    {
        using var scope = NewDisposeScope();
        _ = run();
    }
}
