using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>The groups of a panel as registers of floats, whatever they are kept in.</summary>
internal unsafe interface IStored<L> where L : struct, ILanes<L>
{
    /// <summary>Bytes of a weight.</summary>
    static abstract int Bytes { get; }

    /// <summary>Whether the scales of its outputs stand before a group.</summary>
    static abstract bool Scaled { get; }

    static abstract L Load(byte* from);
}

internal readonly unsafe struct StoredFloat32<L> : IStored<L> where L : struct, ILanes<L>
{
    public static int Bytes => 4;
    public static bool Scaled => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Load(byte* from) => L.Load((float*)from);
}

internal readonly unsafe struct StoredBFloat16<L> : IStored<L> where L : struct, ILanes<L>
{
    public static int Bytes => 2;
    public static bool Scaled => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Load(byte* from) => L.LoadBFloat16((ushort*)from);
}

internal readonly unsafe struct StoredInt8<L> : IStored<L> where L : struct, ILanes<L>
{
    public static int Bytes => 1;
    public static bool Scaled => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Load(byte* from) => L.LoadInt8((sbyte*)from);
}
