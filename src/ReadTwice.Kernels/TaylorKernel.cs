using System.Runtime.Intrinsics;

namespace ReadTwice.Kernels;

/// <summary>The fast form of Taylor linear attention, at one width of the registers.</summary>
internal abstract class TaylorKernel
{
    /// <summary>The one place that picks a width: the widest that this processor has.</summary>
    public static TaylorKernel Widest() =>
        Vector512.IsHardwareAccelerated ? new TaylorKernel<Lanes512>()
        : Vector256.IsHardwareAccelerated ? new TaylorKernel<Lanes256>()
        : new TaylorKernel<Lanes128>();

    /// <summary>Reads the sequence and advances the states.</summary>
    public abstract void Read(TaylorOperands operands, int threads);

    /// <summary>Adds keys to the states, and reads nothing.</summary>
    public abstract void Add(TaylorStates states, TaylorKeys keys, int threads);

    /// <summary>The gradients of what Read read; that of the states at the end becomes that of the states at the start.</summary>
    public abstract void ReadBackward(TaylorOperands operands, TaylorCotangents cotangents, int threads);

    /// <summary>The gradients of what Add added, given that of the states after it.</summary>
    public abstract void AddBackward(TaylorStates gradient, TaylorKeys keys, HeadRows dk, HeadRows dv, int threads);
}

internal sealed class TaylorKernel<L> : TaylorKernel where L : struct, ILanes<L>
{
    public override void Read(TaylorOperands operands, int threads)
    {
        if (operands.Sizes.T <= TaylorStep<L>.MostTokens) TaylorStep<L>.Read(operands, threads);
        else TaylorForward<L>.Read(operands, threads);
    }

    public override void Add(TaylorStates states, TaylorKeys keys, int threads) => TaylorForward<L>.Add(states, keys, threads);

    public override void ReadBackward(TaylorOperands operands, TaylorCotangents cotangents, int threads) =>
        TaylorBackward<L>.Read(operands, cotangents, threads);

    public override void AddBackward(TaylorStates gradient, TaylorKeys keys, HeadRows dk, HeadRows dv, int threads) =>
        TaylorBackward<L>.Add(gradient, keys, dk, dv, threads);
}
