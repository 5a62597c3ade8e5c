using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>A few tokens of one head, and some columns of its state: S [Rows, Width], and V, O [Count, Width].</summary>
internal unsafe struct StatePiece
{
    public int Rows, Count;

    /// <summary>Floats from a row of the state, or a token's value, to the next.</summary>
    public nint Width;

    /// <summary>Floats from a token's row of keys to the next token's; for Asks, which may lie elsewhere, AskStep.</summary>
    public nint Step, AskStep;

    /// <summary>Floats from a token's decay to the next token's, and from a row's to the next row's.</summary>
    public nint DecayStep, DecayRow;

    /// <summary>Floats from a token's β to the next token's.</summary>
    public nint BetaStep;

    public float* Q, K, V, S, O;

    /// <summary>What the state before each token is asked with, [Count, Rows].</summary>
    public float* Asks;

    /// <summary>Where an answer is written, [Count, Rows]; of RWKV-7 alone.</summary>
    public float* Rewrites;

    public float* Decay, Beta;

    /// <summary>What a token's own key counts more, [Rows]; of RWKV-6 alone.</summary>
    public float* Bonus;
}

/// <summary>How a token changes a state, and what it reads from it.</summary>
internal interface IStateRule
{
    /// <summary>Reads the tokens of a piece, in those columns from <paramref name="column"/> on that fill a row of registers.</summary>
    static abstract void Read<L, R>(in StatePiece piece, nint column) where L : struct, ILanes<L> where R : struct, IRow<R, L>;
}

/// <summary>What the rules have in common where values enter.</summary>
internal static class StateRule
{
    /// <exception cref="ArgumentException">A size is not positive, or a span does not hold what its shape says.</exception>
    public static void Require(AttentionSizes sizes, In k, In v, In S, In o)
    {
        var (B, T, H, K, V) = sizes;
        if (B < 1 || T < 1 || H < 1 || K < 1 || V < 1)
            throw new ArgumentException($"A recurrence needs sizes of one or more, not {sizes}.", nameof(sizes));
        Shape.Require(k, [B, T, H, K]);
        Shape.Require(v, [B, T, H, V]);
        Shape.Require(S, [B, H, K, V]);
        Shape.Require(o, [B, T, H, V]);
    }
}

/// <summary>What passes over the rows of a state: each is loaded once for a token, and asked what the next token will ask of it.</summary>
internal static unsafe class StateRows<L, R> where L : struct, ILanes<L> where R : struct, IRow<R, L>
{
    /// <summary>Σ aᵢ Sᵢ.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static R Ask(in StatePiece piece, float* s, float* a)
    {
        R sum = default;
        for (nint i = 0; i < piece.Rows; i++, s += piece.Width) sum = R.MultiplyAdd(L.Create(a[i]), R.Load(s), sum);
        return sum;
    }

    /// <summary>Sᵢ ← dᵢ Sᵢ + kᵢ x, and of the new state Σ aᵢ Sᵢ.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static R Write(in StatePiece piece, float* s, float* d, float* k, R x, float* a)
    {
        nint rows = piece.Rows, width = piece.Width, next = piece.DecayRow;
        R asked = default;
        for (nint i = 0; i < rows; i++, s += width, d += next)
        {
            R row = R.MultiplyAdd(L.Create(k[i]), x, R.Scale(L.Create(*d), R.Load(s)));
            row.Store(s);
            asked = R.MultiplyAdd(L.Create(a[i]), row, asked);
        }
        return asked;
    }

    /// <summary>Sᵢ ← dᵢ Sᵢ + kᵢ x, and of the new state o = Σ qᵢ Sᵢ, and Σ aᵢ Sᵢ.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static R Write(in StatePiece piece, float* s, float* d, float* k, R x, float* q, float* a, out R o)
    {
        nint rows = piece.Rows, width = piece.Width, next = piece.DecayRow;
        R read = default, asked = default;
        for (nint i = 0; i < rows; i++, s += width, d += next)
        {
            R row = R.MultiplyAdd(L.Create(k[i]), x, R.Scale(L.Create(*d), R.Load(s)));
            row.Store(s);
            read = R.MultiplyAdd(L.Create(q[i]), row, read);
            asked = R.MultiplyAdd(L.Create(a[i]), row, asked);
        }
        o = read;
        return asked;
    }

    /// <summary>Sᵢ ← dᵢ Sᵢ + kᵢ x + bᵢ y, and of the new state o = Σ qᵢ Sᵢ, and Σ aᵢ Sᵢ.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static R Write(in StatePiece piece, float* s, float* d, float* k, R x, float* b, R y, float* q, float* a, out R o)
    {
        nint rows = piece.Rows, width = piece.Width, next = piece.DecayRow;
        R read = default, asked = default;
        for (nint i = 0; i < rows; i++, s += width, d += next)
        {
            R row = R.MultiplyAdd(L.Create(k[i]), x, R.MultiplyAdd(L.Create(b[i]), y, R.Scale(L.Create(*d), R.Load(s))));
            row.Store(s);
            read = R.MultiplyAdd(L.Create(q[i]), row, read);
            asked = R.MultiplyAdd(L.Create(a[i]), row, asked);
        }
        o = read;
        return asked;
    }
}
