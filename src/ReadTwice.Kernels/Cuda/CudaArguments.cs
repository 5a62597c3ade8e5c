using System.Runtime.InteropServices;

namespace ReadTwice.Kernels.Cuda;

// The structures of the .cu files, field for field.

[StructLayout(LayoutKind.Sequential)]
internal struct ForwardArguments
{
    public nint Q, K, V, KEnc, VEnc, QLast, S, Z, EndS, EndZ, O, OLast, Norms;
    public int T, P, Last, H, Width, Segment, EncSegment, Slots, FirstSlot, IsNormalised, IsReversed;
    public float Scale;
}

[StructLayout(LayoutKind.Sequential)]
internal struct ScanArguments
{
    public nint S, Z, FirstS, FirstZ, EndS, EndZ;
    public int Slots, Width;
}

[StructLayout(LayoutKind.Sequential)]
internal struct StepArguments
{
    public nint Q, K, V, S, Z, EndS, EndZ, O;
    public int H, Width;
    public float Scale;
}

[StructLayout(LayoutKind.Sequential)]
internal struct ConvolutionArguments
{
    public nint X, Weight, Bias, Before, After, Y;
    public int B, T, Channels, Taps, Run;
}

[StructLayout(LayoutKind.Sequential)]
internal struct GradientArguments
{
    public nint X, Y, YMore, Summed, SummedY, SummedYMore, FirstX, FirstY, LastX, LastY, S, Z, EndS, EndZ, DX, DLastX;
    public int T, P, Last, H, Width, IsReversed;
    public float Scale;
}

[StructLayout(LayoutKind.Sequential)]
internal struct CotangentArguments
{
    public nint DO, O, Norms, G, R;
    public long Rows;
    public int Width;
}
