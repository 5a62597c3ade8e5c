using System.Runtime.Intrinsics;

namespace ReadTwice.Kernels;

/// <summary>What of a state fades by one factor.</summary>
internal enum Fading
{
    None,
    Heads,
    Rows,
    Columns,
}

/// <summary>Where the operands of one reading lie; shapes as in <see cref="GatedLinearAttention"/>.</summary>
internal unsafe struct GatedOperands
{
    public AttentionSizes Sizes;
    public float Scale;
    public Fading Fading;
    public float* Q, K, V, Decay, S, O;
}

/// <summary>The fast form of linear attention with decay, at one width of the registers.</summary>
internal abstract class GatedKernel
{
    /// <summary>The one place that picks a width: the widest that this processor has.</summary>
    public static GatedKernel Widest() =>
        Vector512.IsHardwareAccelerated ? new GatedKernel<Lanes512>()
        : Vector256.IsHardwareAccelerated ? new GatedKernel<Lanes256>()
        : new GatedKernel<Lanes128>();

    /// <summary>Reads the sequence and advances the state.</summary>
    public abstract void Read(GatedOperands operands, int threads);
}

internal sealed class GatedKernel<L> : GatedKernel where L : struct, ILanes<L>
{
    public override void Read(GatedOperands operands, int threads) => GatedForward<L>.Read(operands, threads);
}
