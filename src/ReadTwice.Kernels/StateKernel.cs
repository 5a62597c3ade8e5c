using System.Runtime.Intrinsics;

namespace ReadTwice.Kernels;

/// <summary>Where the operands of a recurrence over states S [B, H, K, V] lie; those that a rule does without are null.</summary>
internal unsafe struct StateOperands
{
    public AttentionSizes Sizes;
    public float Scale;

    /// <summary>What of the state stays: 0, 1 or K factors for each token and head.</summary>
    public int Decays;

    /// <summary>Whether the state is asked with the keys, and after it decays; else with Asks, and before.</summary>
    public bool AsksKeys;

    public float* Q, K, V, Asks, Rewrites, Decay, Beta, Bonus, S, O;
}

/// <summary>The fast form of recurrences over matrices, at one width of the registers.</summary>
internal abstract class StateKernel
{
    /// <summary>The one place that picks a width: the widest that this processor has.</summary>
    public static StateKernel Widest() =>
        Vector512.IsHardwareAccelerated ? new StateKernel<Lanes512>()
        : Vector256.IsHardwareAccelerated ? new StateKernel<Lanes256>()
        : new StateKernel<Lanes128>();

    /// <summary>Reads the sequence and advances the states.</summary>
    public abstract void Read<TRule>(StateOperands operands, int threads) where TRule : struct, IStateRule;

    /// <summary>The gradients of RWKV-7's recurrence, given those of its outputs, which are operands.O, and of the states it left.</summary>
    public abstract unsafe void ReadBack(StateOperands operands, StateOperands gradients, float* dS, int threads);
}

internal sealed class StateKernel<L> : StateKernel where L : struct, ILanes<L>
{
    public override void Read<TRule>(StateOperands operands, int threads) => StateForward<L, TRule>.Read(operands, threads);

    public override unsafe void ReadBack(StateOperands operands, StateOperands gradients, float* dS, int threads) =>
        StateBackward<L>.Read(operands, gradients, dS, threads);
}
