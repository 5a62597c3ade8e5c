using System.Runtime.Intrinsics;

namespace ReadTwice.Kernels;

/// <summary>The fast form of a recurrence of channels with N states each, at one width of the registers.</summary>
internal abstract class ChannelKernel
{
    private const int FewestNumbersInPart = 1 << 15;

    /// <summary>The one place that picks a width: the widest that this processor has.</summary>
    public static ChannelKernel Widest<TDecay>() where TDecay : struct, IDecay =>
        Vector512.IsHardwareAccelerated ? new ChannelKernel<Lanes512, TDecay>()
        : Vector256.IsHardwareAccelerated ? new ChannelKernel<Lanes256, TDecay>()
        : new ChannelKernel<Lanes128, TDecay>();

    public unsafe void Read(ChannelSizes sizes, In x, In step, In parameter, In write, In read, In skip, Ref h, Ref y, int threads)
    {
        fixed (float* atX = x, atStep = step, atParameter = parameter, atWrite = write, atRead = read, atSkip = skip, atH = h, atY = y)
        {
            var operands = new ChannelOperands
            {
                Sizes = sizes,
                X = atX,
                Step = atStep,
                Parameter = atParameter,
                Write = atWrite,
                Read = atRead,
                Skip = atSkip,
                H = atH,
                Y = atY,
            };
            Run(sizes, threads, (_, _, first, next) => Read(operands, first, next));
        }
    }

    public unsafe void Backward(
        ChannelSizes sizes, In x, In step, In parameter, In write, In read, In skip, In h0, In dy, In dh,
        Ref dx, Ref dStep, Ref dParameter, Ref dWrite, Ref dRead, Ref dSkip, Ref dh0, int threads)
    {
        if (dh.IsEmpty) dh0.Clear();
        else dh.CopyTo(dh0);
        int maps = dWrite.Length;
        // Every part has channels of its own, but all channels add to the gradients of the maps.
        int most = Workers.Count(threads);
        using var scratch = Scratch.For(scratch => (nint)scratch.Take(checked(2 * most * maps)), out nint sums);
        fixed (float* atX = x, atStep = step, atParameter = parameter, atWrite = write, atRead = read, atSkip = skip, atH0 = h0, atDY = dy)
        fixed (float* atDX = dx, atDStep = dStep, atDParameter = dParameter, atDSkip = dSkip, atDH0 = dh0)
        {
            var operands = new ChannelOperands
            {
                Sizes = sizes,
                X = atX,
                Step = atStep,
                Parameter = atParameter,
                Write = atWrite,
                Read = atRead,
                Skip = atSkip,
                H = atH0,
            };
            var gradients = new ChannelOperands
            {
                Sizes = sizes,
                X = atDX,
                Step = atDStep,
                Parameter = atDParameter,
                Skip = atDSkip,
                H = atDH0,
                Y = atDY,
            };
            int parts = Run(sizes, most, (part, _, first, next) =>
            {
                float* own = (float*)sums + 2 * (nint)part * maps;
                Backward(operands, gradients with { Write = own, Read = own + maps }, first, next);
            });
            Add(new In((float*)sums, 2 * parts * maps), parts, dWrite, dRead);
        }
    }

    /// <summary>Reads all tokens through some of the channels.</summary>
    protected abstract void Read(ChannelOperands operands, int first, int next);

    /// <summary>Goes back through some of the channels. The gradient of the state is turned into that of the state before.</summary>
    protected abstract void Backward(ChannelOperands operands, ChannelOperands gradients, int first, int next);

    private static int Run(ChannelSizes sizes, int threads, Action<int, int, int, int> part)
    {
        const int Together = 16;   // channels that share cache lines, and a register
        int units = (sizes.I + Together - 1) / Together;
        long numbers = (long)sizes.B * sizes.T * sizes.I * sizes.N;
        int parts = (int)Math.Min(Math.Min(units, Workers.Count(threads)), Math.Max(1, numbers / FewestNumbersInPart));
        Workers.Run(parts, i => part(
            i, parts, (int)((long)units * i / parts) * Together, Math.Min(sizes.I, (int)((long)units * (i + 1) / parts) * Together)));
        return parts;
    }

    private static void Add(In sums, int parts, Ref dWrite, Ref dRead)
    {
        int maps = dWrite.Length;
        dWrite.Clear();
        dRead.Clear();
        for (int part = 0; part < parts; part++)
            for (int i = 0; i < maps; i++)
            {
                dWrite[i] += sums[2 * part * maps + i];
                dRead[i] += sums[(2 * part + 1) * maps + i];
            }
    }
}

/// <summary>Where the operands of one call lie, or their gradients; shapes as in <see cref="SelectiveScan"/>.</summary>
internal unsafe struct ChannelOperands
{
    public ChannelSizes Sizes;
    public float* X, Step, Parameter, Write, Read, Skip, H, Y;
}

internal sealed class ChannelKernel<L, TDecay> : ChannelKernel where L : struct, ILanes<L> where TDecay : struct, IDecay
{
    protected override void Read(ChannelOperands operands, int first, int next) => ChannelRead<L, TDecay>.Run(operands, first, next);

    protected override void Backward(ChannelOperands operands, ChannelOperands gradients, int first, int next) =>
        ChannelBackward<L, TDecay>.Run(operands, gradients, first, next);
}
