using System.Numerics;
using System.Runtime.InteropServices;

namespace ReadTwice.Kernels;

/// <summary>Where states lie: S [B, pieces, H, F, V] and z [B, pieces, H, F]; one piece, for those of a caller.</summary>
internal unsafe struct TaylorStates
{
    public AttentionSizes Sizes;
    public int Pieces;
    public float* S, Z;

    /// <summary>States in scratch memory, all zero.</summary>
    public static TaylorStates Take(AttentionSizes sizes, int pieces, Scratch scratch) => new()
    {
        Sizes = sizes,
        Pieces = pieces,
        S = scratch.Take(checked(sizes.B * pieces * sizes.H * sizes.F * sizes.V)),
        Z = scratch.Take(sizes.B * pieces * sizes.H * sizes.F),
    };

    public readonly Ref SOf(int b, int piece, int head) => new(S + Index(b, piece, head) * Sizes.V, Sizes.F * Sizes.V);

    public readonly Ref ZOf(int b, int piece, int head) => new(Z + Index(b, piece, head), Sizes.F);

    /// <summary>Copies one piece's states of every head.</summary>
    public readonly void CopyTo(int piece, TaylorStates to, int toPiece)
    {
        for (int b = 0; b < Sizes.B; b++)
            for (int head = 0; head < Sizes.H; head++)
            {
                SOf(b, piece, head).CopyTo(to.SOf(b, toPiece, head));
                ZOf(b, piece, head).CopyTo(to.ZOf(b, toPiece, head));
            }
    }

    /// <summary>Adds one piece's states to another's, for every head.</summary>
    public readonly void Add(int piece, int toPiece)
    {
        for (int b = 0; b < Sizes.B; b++)
            for (int head = 0; head < Sizes.H; head++)
            {
                Add(SOf(b, piece, head), SOf(b, toPiece, head));
                Add(ZOf(b, piece, head), ZOf(b, toPiece, head));
            }
    }

    private static void Add(In from, Ref to)
    {
        var lanes = MemoryMarshal.Cast<float, Vector<float>>(to);
        var added = MemoryMarshal.Cast<float, Vector<float>>(from);
        for (int i = 0; i < lanes.Length; i++) lanes[i] += added[i];
        for (int i = lanes.Length * Vector<float>.Count; i < to.Length; i++) to[i] += from[i];
    }

    private readonly nint Index(int b, int piece, int head) => ((nint)(b * Pieces + piece) * Sizes.H + head) * Sizes.F;
}
