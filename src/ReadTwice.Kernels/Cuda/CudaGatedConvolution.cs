using System.Runtime.InteropServices;

namespace ReadTwice.Kernels.Cuda;

/// <summary>The gated short convolution of Based and JRT-RNN on a card: y = silu(conv(u)) w, where a row of x is [u | w].</summary>
internal static class CudaGatedConvolution
{
    private const int Threads = 128, ChannelsOfThread = 8, MostTaps = 4, FewestTokens = 16;

    /// <summary>Whether the kernel serves so many channels and taps.</summary>
    public static bool Serves(long channels, long taps) => channels > 0 && channels % ChannelsOfThread == 0 && taps is >= 1 and <= MostTaps;

    /// <summary>Reads T tokens, one or many, from a state and leaves the next.</summary>
    /// <remarks>
    /// x [B, T, 2 I] and y [B, T, I] are bfloat16; weight [I, taps], bias [I], which may be empty, and the states before and after
    /// [B, I, taps - 1] are float32. The state after must lie elsewhere than the one before.
    /// </remarks>
    /// <exception cref="ArgumentException">The sizes are not served, or memory does not hold what its shape says.</exception>
    public static void Forward(
        ICudaDevice device, int B, int T, int I, int taps, DeviceMemory x, DeviceMemory weight, DeviceMemory bias, DeviceMemory before,
        DeviceMemory after, DeviceMemory y)
    {
        if (!Serves(I, taps) || B < 1 || T < 1)
            throw new ArgumentException($"The kernel serves channels in eights and 1 to {MostTaps} taps; there are {I} and {taps}, of [{B}, {T}] tokens.");
        x.Require("x", 2, [B, T, 2 * I]);
        y.Require("y", 2, [B, T, I]);
        weight.Require("weight", sizeof(float), [I, taps]);
        bias.Require("bias", sizeof(float), [I], true);
        before.Require("before", sizeof(float), [B, I, taps - 1], taps == 1);
        after.Require("after", sizeof(float), [B, I, taps - 1], taps == 1);
        int columns = (I / ChannelsOfThread + Threads - 1) / Threads;
        // A run reads the three tokens before it again: long ones where there are blocks enough.
        int runs = Math.Clamp(T / FewestTokens, 1, Math.Max(1, 8 * device.Multiprocessors / (B * columns)));
        int run = (T + runs - 1) / runs;
        var arguments = new ConvolutionArguments
        {
            X = x.Address,
            Weight = weight.Address,
            Bias = bias.Address,
            Before = before.Address,
            After = after.Address,
            Y = y.Address,
            B = B,
            T = T,
            Channels = I,
            Taps = taps,
            Run = run,
        };
        device.Launch(new()
        {
            Module = "GatedConvolution",
            Kernel = "gatedConvolution",
            Grid = (columns, (T + run - 1) / run, B),
            Threads = Threads,
            Arguments = MemoryMarshal.AsBytes(new ReadOnlySpan<ConvolutionArguments>(in arguments)),
            Operands = [x, weight, bias, before, after, y],
        });
    }
}
