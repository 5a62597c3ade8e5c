using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace ReadTwice.Kernels;

/// <summary>The rows [B, T, H, Width] of an operand; all of them are in memory while a call lasts.</summary>
internal readonly unsafe struct HeadRows(float* start, int T, int H, int width)
{
    public bool IsNull => start == null;

    /// <summary>Floats from a token to the next.</summary>
    public int Step => H * width;

    /// <summary>The row of the first token of a chunk.</summary>
    public float* this[ChunkStep step] => start + (((nint)step.B * T + step.Token) * H + step.Head) * width;

    /// <summary>Asks for some rows of a chunk that comes later.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Prefetch(ChunkStep step, int from, int to)
    {
        if (!Sse.IsSupported) return;
        float* row = this[step] + (nint)from * Step;
        for (int t = from; t < Math.Min(to, step.Count); t++, row += Step)
        {
            for (int i = 0; i < width; i += 64 / sizeof(float)) Sse.Prefetch0(row + i);
            // One line more, where the row does not start with one.
            Sse.Prefetch0(row + width - 1);
        }
    }
}

/// <summary>Keys [B, T, H, K] and values [B, T, H, V] to be added to a state, and their weights [B, T, 1, 1], which may be null.</summary>
internal readonly struct TaylorKeys(int T, HeadRows k, HeadRows v, HeadRows mask)
{
    public readonly int T = T;
    public readonly HeadRows K = k, V = v, Mask = mask;
}

/// <summary>Where the operands of one reading lie; shapes as in <see cref="TaylorLinearAttention"/>.</summary>
internal struct TaylorOperands
{
    public AttentionSizes Sizes;
    public float Scale;
    public TaylorKeys Keys;
    public TaylorStates States;
    public HeadRows Q, O, Den;
}

/// <summary>Where the gradient of the outputs lies, and where those of the operands go; that of the states is advanced in place.</summary>
internal struct TaylorCotangents
{
    public TaylorStates States;
    public HeadRows DO, DQ, DK, DV;
}
