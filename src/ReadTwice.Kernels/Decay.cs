using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>What a channel keeps of a state, as a function of its step, of a parameter, and of the key that is written.</summary>
internal interface IDecay
{
    /// <summary>Whether there is a parameter for each channel and state.</summary>
    static abstract bool HasParameter { get; }

    /// <summary>Factor of the parameter that every use of it has in common.</summary>
    static abstract float ParameterFactor { get; }

    /// <summary>Factor of the sum that Back makes for the step.</summary>
    static abstract float StepFactor { get; }

    static abstract L Kept<L>(L step, L parameter, float key) where L : struct, ILanes<L>;

    /// <summary>Adds to the gradients of step, parameter and key what comes of the gradient of what is kept.</summary>
    static abstract void Back<L>(L gradient, L kept, L step, L parameter, float key, ref L dStep, ref L dParameter, ref L dKey)
        where L : struct, ILanes<L>;
}

/// <summary>exp(step · parameter), as in Mamba; the parameter comes multiplied by log₂ e.</summary>
internal readonly struct ExponentialDecay : IDecay
{
    public static bool HasParameter => true;
    public static float ParameterFactor => PowerOfTwo.Log2E;
    public static float StepFactor => 1 / PowerOfTwo.Log2E;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Kept<L>(L step, L parameter, float key) where L : struct, ILanes<L> => PowerOfTwo.Of(step * parameter);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Back<L>(L gradient, L kept, L step, L parameter, float key, ref L dStep, ref L dParameter, ref L dKey)
        where L : struct, ILanes<L>
    {
        L inner = gradient * kept;
        dStep = L.MultiplyAdd(inner, parameter, dStep);
        dParameter = L.MultiplyAdd(inner, step, dParameter);
    }
}

/// <summary>1 - step · key², as in Longhorn.</summary>
internal readonly struct ForgettingByKey : IDecay
{
    public static bool HasParameter => false;
    public static float ParameterFactor => 0;
    public static float StepFactor => -1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Kept<L>(L step, L parameter, float key) where L : struct, ILanes<L> =>
        L.MultiplyAdd(L.Create(-key * key), step, L.Create(1));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Back<L>(L gradient, L kept, L step, L parameter, float key, ref L dStep, ref L dParameter, ref L dKey)
        where L : struct, ILanes<L>
    {
        dStep = L.MultiplyAdd(L.Create(key * key), gradient, dStep);
        dKey = L.MultiplyAdd(L.Create(-2 * key), gradient * step, dKey);
    }
}
