using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>A few tokens of one head, and some columns of its state: S [Rows, columns], and V, O [Count, columns].</summary>
internal unsafe struct GatedPiece
{
    public int Rows, Count;
    public float Scale;

    /// <summary>Floats from a row of the state to the next, and from a token's value or output to the next token's.</summary>
    public nint StateStep, Width;

    /// <summary>Floats from a token's query or key to the next token's.</summary>
    public nint Step;

    /// <summary>Floats from a token's decay to the next token's, and from a row's to the next row's.</summary>
    public nint DecayStep, DecayRow;

    public float* Q, K, V, S, O, Decay;
}

/// <summary>How a row of the state takes in a token: what of it stays, and k · v.</summary>
internal unsafe interface IFade<L> where L : struct, ILanes<L>
{
    /// <param name="s">A row of the state.</param>
    /// <param name="k">The token's key, at this row.</param>
    /// <param name="v">The token's value.</param>
    /// <param name="decay">The factor of this row.</param>
    /// <param name="decays">The factors of the columns.</param>
    static abstract R Write<R>(R s, L k, R v, float* decay, R decays) where R : struct, IRow<R, L>;
}

internal readonly unsafe struct NoFade<L> : IFade<L> where L : struct, ILanes<L>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static R Write<R>(R s, L k, R v, float* decay, R decays) where R : struct, IRow<R, L> => R.MultiplyAdd(k, v, s);
}

internal readonly unsafe struct RowFade<L> : IFade<L> where L : struct, ILanes<L>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static R Write<R>(R s, L k, R v, float* decay, R decays) where R : struct, IRow<R, L> =>
        R.MultiplyAdd(L.Create(*decay), s, R.Scale(k, v));
}

internal readonly unsafe struct ColumnFade<L> : IFade<L> where L : struct, ILanes<L>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static R Write<R>(R s, L k, R v, float* decay, R decays) where R : struct, IRow<R, L> => R.MultiplyAdd(k, v, decays * s);
}

/// <summary>The recurrence itself, over columns that stay in registers.</summary>
internal static unsafe class GatedPiece<L> where L : struct, ILanes<L>
{
    public static void Read<F>(in GatedPiece piece, int columns) where F : struct, IFade<L>
    {
        for (int column = 0; column < columns;)
        {
            int left = (columns - column + L.Count - 1) / L.Count;
            if (L.WidestRow >= 4 && left >= 4)
            {
                Read<Row4<L>, F>(piece, column);
                column += 4 * L.Count;
            }
            else if (L.WidestRow >= 4 && left == 3)
            {
                Read<Row3<L>, F>(piece, column);
                column += 3 * L.Count;
            }
            else if (left >= 2)
            {
                Read<Row2<L>, F>(piece, column);
                column += 2 * L.Count;
            }
            else
            {
                Read<L, F>(piece, column);
                column += L.Count;
            }
        }
    }

    // Two tokens for each time that a row of the state is loaded and stored: the stores would be slower than the arithmetic.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Read<R, F>(in GatedPiece piece, int column) where R : struct, IRow<R, L> where F : struct, IFade<L>
    {
        nint stateStep = piece.StateStep, width = piece.Width, step = piece.Step, decayStep = piece.DecayStep, decayRow = piece.DecayRow;
        float* q = piece.Q, k = piece.K, decay = piece.Decay, v = piece.V + column, o = piece.O + column, decays = piece.Decay + column;
        L scale = L.Create(piece.Scale);
        int t = 0;
        for (; t + 1 < piece.Count; t += 2)
        {
            R v0 = R.Load(v), v1 = R.Load(v + width), decays0 = R.Load(decays), decays1 = R.Load(decays + decayStep);
            R o0 = default, o1 = default;
            float* s = piece.S + column, d0 = decay, d1 = decay + decayStep;
            for (nint i = 0; i < piece.Rows; i++)
            {
                R row = F.Write(R.Load(s), L.Create(k[i]), v0, d0, decays0);
                o0 = R.MultiplyAdd(L.Create(q[i]), row, o0);
                row = F.Write(row, L.Create(k[step + i]), v1, d1, decays1);
                o1 = R.MultiplyAdd(L.Create(q[step + i]), row, o1);
                row.Store(s);
                s += stateStep;
                d0 += decayRow;
                d1 += decayRow;
            }
            R.Scale(scale, o0).Store(o);
            R.Scale(scale, o1).Store(o + width);
            q += 2 * step;
            k += 2 * step;
            v += 2 * width;
            o += 2 * width;
            decay += 2 * decayStep;
            decays += 2 * decayStep;
        }
        if (t < piece.Count)
        {
            R v0 = R.Load(v), decays0 = R.Load(decays), o0 = default;
            float* s = piece.S + column;
            for (nint i = 0; i < piece.Rows; i++)
            {
                R row = F.Write(R.Load(s), L.Create(k[i]), v0, decay + i * decayRow, decays0);
                o0 = R.MultiplyAdd(L.Create(q[i]), row, o0);
                row.Store(s);
                s += stateStep;
            }
            R.Scale(scale, o0).Store(o);
        }
    }
}
