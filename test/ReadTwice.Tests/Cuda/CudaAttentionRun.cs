using System.Runtime.InteropServices;
using ReadTwice.Kernels;
using ReadTwice.Kernels.Cuda;
using ReadTwice.Tests.Kernels;

namespace ReadTwice.Tests.Cuda;

/// <summary>A call of attention as a device sees it: operands rounded to bfloat16, results that start as not-a-number.</summary>
internal sealed unsafe class CudaAttentionRun : IDisposable
{
    private readonly List<nint> owned = [];

    public CudaAttentionRun(AttentionRun run) =>
        Run = run with { KEnc = Rounded(run.KEnc), VEnc = Rounded(run.VEnc), Q = Rounded(run.Q), K = Rounded(run.K), V = Rounded(run.V), DO = Rounded(run.DO) };

    /// <summary>The same operands as numbers, for the reference.</summary>
    public AttentionRun Run { get; }

    public AttentionRun.Results Forward(
        ICudaDevice device, CudaSegments? cut = null, bool fromNothing = false, bool withNorms = true, AttentionSizes? sizes = null,
        Func<CudaAttentionOperands, CudaAttentionOperands>? change = null)
    {
        var segments = cut ?? CudaSegments.Whole(Run.Sizes.T, Run.P);
        var x = Operands(segments, fromNothing);
        if (!withNorms) x.Norms = default;
        CudaPrefixLinearAttention.Forward(device, sizes ?? Run.Sizes, Run.P, Run.Scale, change?.Invoke(x) ?? x, segments);
        return new(OfHalves(x.O), OfFloats(x.Norms), OfFloats(x.EndS), OfFloats(x.EndZ));
    }

    public AttentionRun.Results Step(ICudaDevice device)
    {
        var x = Operands(CudaSegments.Whole(1, 0), false);
        CudaPrefixLinearAttention.Step(device, Run.Sizes, Run.Scale, x);
        return new(OfHalves(x.O), [], OfFloats(x.EndS), OfFloats(x.EndZ));
    }

    public AttentionRun.Gradients Backward(ICudaDevice device, bool withState = true)
    {
        var (B, T, H, K, V) = Run.Sizes;
        var x = Operands(CudaSegments.Whole(T, Run.P), fromNothing: !withState);
        CudaPrefixLinearAttention.Forward(device, Run.Sizes, Run.P, Run.Scale, x, CudaSegments.Whole(T, Run.P));
        var d = new CudaAttentionGradients
        {
            DO = Halves(Run.DO),
            DEndS = withState ? Floats(Run.DS) : default,
            DEndZ = withState ? Floats(Run.DZ) : default,
            DQ = Unwritten(B * T * H * K * 2),
            DK = Unwritten(B * T * H * K * 2),
            DV = Unwritten(B * T * H * V * 2),
            DKEnc = Unwritten(B * Run.P * H * K * 2),
            DVEnc = Unwritten(B * Run.P * H * V * 2),
            DS = Unwritten(Run.S0.Length * sizeof(float)),
            DZ = Unwritten(Run.Z0.Length * sizeof(float)),
            G = Unwritten(B * T * H * V * 2),
            R = Unwritten(B * T * H * 16 * 2),
        };
        CudaPrefixLinearAttentionBackward.Backward(device, Run.Sizes, Run.P, Run.Scale, x, d);
        return new(OfHalves(d.DKEnc), OfHalves(d.DVEnc), OfHalves(d.DQ), OfHalves(d.DK), OfHalves(d.DV), OfFloats(d.DS), OfFloats(d.DZ));
    }

    private CudaAttentionOperands Operands(CudaSegments segments, bool fromNothing)
    {
        var (B, T, H, _, V) = Run.Sizes;
        int heads = B * H, F = Run.Sizes.F;
        return new()
        {
            Q = Halves(Run.Q),
            K = Halves(Run.K),
            V = Halves(Run.V),
            KEnc = Halves(Run.KEnc),
            VEnc = Halves(Run.VEnc),
            S = fromNothing ? default : Floats(Run.S0),
            Z = fromNothing ? default : Floats(Run.Z0),
            EndS = Unwritten(heads * F * V * sizeof(float)),
            EndZ = Unwritten(heads * F * sizeof(float)),
            O = Unwritten(B * T * H * V * 2),
            Norms = Unwritten(B * T * H * sizeof(float)),
            SegmentS = Unwritten(heads * segments.Slots * F * V * sizeof(float)),
            SegmentZ = Unwritten(heads * segments.Slots * F * sizeof(float)),
        };
    }

    public DeviceMemory Halves(float[] values)
    {
        var memory = New(values.Length * 2);
        for (int i = 0; i < values.Length; i++) ((ushort*)memory.Address)[i] = (ushort)PtxArithmetic.Narrow(values[i]);
        return memory;
    }

    public DeviceMemory Floats(float[] values)
    {
        var memory = New(values.Length * sizeof(float));
        values.CopyTo(new Span<float>((void*)memory.Address, values.Length));
        return memory;
    }

    public DeviceMemory Unwritten(int bytes)
    {
        var memory = New(bytes);
        new Span<byte>((void*)memory.Address, bytes).Fill(0xFF);
        return memory;
    }

    public static float[] OfHalves(DeviceMemory memory)
    {
        var values = new float[memory.Bytes / 2];
        for (int i = 0; i < values.Length; i++) values[i] = PtxArithmetic.Wide(((ushort*)memory.Address)[i]);
        return values;
    }

    public static float[] OfFloats(DeviceMemory memory) => new Span<float>((void*)memory.Address, (int)memory.Bytes / sizeof(float)).ToArray();

    public void Dispose()
    {
        foreach (nint address in owned) NativeMemory.AlignedFree((void*)address);
    }

    // Aligned as a card's allocator does.
    private DeviceMemory New(int bytes)
    {
        if (bytes == 0) return default;
        nint address = (nint)NativeMemory.AlignedAlloc((nuint)bytes, 256);
        owned.Add(address);
        return new(address, bytes);
    }

    public static float[] Rounded(float[] values) => [.. values.Select(value => PtxArithmetic.Wide(PtxArithmetic.Narrow(value)))];
}
