using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>
/// The gradients of RWKV-7's recurrence, heads on every thread, some columns at a time. States are not kept from the forward pass:
/// those at every sixteenth token are found again from the start, and then, chunk by chunk from the last, all between them.
/// </summary>
internal static unsafe class StateBackward<L> where L : struct, ILanes<L>
{
    private const int Tokens = 16;

    public static void Read(StateOperands operands, StateOperands gradients, float* dS, int threads)
    {
        var (B, _, H, _, V) = operands.Sizes;
        RowWork.Run(B * H, Math.Min(threads, B * H), (_, first, next) =>
        {
            using var scratch = Scratch.For(scratch => new Buffers(operands.Sizes, scratch), out var buffers);
            (*buffers.One, *buffers.None) = (1, 0);
            for (int head = first; head < next; head++)
                for (int column = 0; column < V;)
                {
                    var block = new Block(operands, gradients, dS, buffers, head, column);
                    int left = (V - column + L.Count - 1) / L.Count;
                    if (L.WidestRow >= 4 && left >= 4) column += Read<Row4<L>>(block, 4 * L.Count);
                    else if (left >= 2) column += Read<Row2<L>>(block, 2 * L.Count);
                    else column += Read<L>(block, L.Count);
                }
        });
    }

    private static int Read<R>(in Block block, int width) where R : struct, IRow<R, L>
    {
        int T = block.Operands.Sizes.T, K = block.Operands.Sizes.K, size = K * width, columns = Math.Min(width, block.Operands.Sizes.V - block.Column);
        var (buffers, chunks) = (block.Buffers, (T + Tokens - 1) / Tokens);
        block.LoadState(block.Operands.S, buffers.Starts, width, columns);
        for (int n = 0; n < chunks - 1; n++)
        {
            block.LoadTokens(n * Tokens, Tokens, width, columns);
            float* start = buffers.Starts + (nint)n * size, end = start + size;
            for (int t = 0; t < Tokens; t++) Step<R>(block.Token(n * Tokens, t, width), t == 0 ? start : end, end, K, width);
        }

        block.LoadState(block.LastGradient, buffers.G, width, columns);
        for (int n = chunks - 1; n >= 0; n--)
        {
            int first = n * Tokens, count = Math.Min(Tokens, T - first);
            block.LoadTokens(first, count, width, columns);
            new In(buffers.Starts + (nint)n * size, size).CopyTo(new(buffers.States, size));
            for (int t = 0; t < count; t++)
                Step<R>(block.Token(first, t, width), buffers.States + (nint)t * size, buffers.States + (nint)(t + 1) * size, K, width);
            for (int t = count - 1; t >= 0; t--) Back<R>(block.Token(first, t, width), buffers.States + (nint)t * size, buffers.G, K, width);
            block.StoreTokens(first, count, width, columns);
        }
        block.StoreState(buffers.G, block.Gradients.S, width, columns);
        return width;
    }

    /// <summary>The state after a token, and what the one before answers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Step<R>(in Token token, float* before, float* after, int K, nint width) where R : struct, IRow<R, L>
    {
        R y = default, v = R.Load(token.V);
        for (nint i = 0; i < K; i++) y = R.MultiplyAdd(L.Create(token.A[i]), R.Load(before + i * width), y);
        y.Store(token.Y);
        for (nint i = 0; i < K; i++)
            R.MultiplyAdd(
                L.Create(token.K[i]), v,
                R.MultiplyAdd(L.Create(token.B[i]), y, R.Scale(L.Create(token.D[i * token.DecayRow]), R.Load(before + i * width)))).Store(after + i * width);
    }

    /// <summary>A token's gradients, and that of the state before it in place of that of the state after it.</summary>
    /// <remarks>Two passes, as what one alone needs does not fit the registers.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Back<R>(in Token token, float* before, float* G, int K, nint width) where R : struct, IRow<R, L>
    {
        float* r = token.R, k = token.K, b = token.B, dk = token.DK, db = token.DB;
        R v = R.Load(token.V), y = R.Load(token.Y), dO = R.Load(token.DO), dv = default, e = default;
        for (nint i = 0; i < K; i++)
        {
            R g = R.MultiplyAdd(L.Create(r[i]), dO, R.Load(G + i * width));
            g.Store(G + i * width);
            dv = R.MultiplyAdd(L.Create(k[i]), g, dv);
            e = R.MultiplyAdd(L.Create(b[i]), g, e);
            dk[i] += L.Sum(R.Dot(g, v));
            db[i] += L.Sum(R.Dot(g, y));
        }
        dv.Store(token.DV);

        float* after = before + K * width, a = token.A, d = token.D, dr = token.DR, da = token.DA, dd = token.DD;
        nint next = token.DecayRow;
        for (nint i = 0; i < K; i++)
        {
            R g = R.Load(G + i * width), s = R.Load(before + i * width);
            dr[i] += L.Sum(R.Dot(R.Load(after + i * width), dO));
            da[i] += L.Sum(R.Dot(s, e));
            dd[i * next] += L.Sum(R.Dot(g, s));
            R.MultiplyAdd(L.Create(a[i]), e, R.Scale(L.Create(d[i * next]), g)).Store(G + i * width);
        }
    }

    /// <summary>Where a token's operands and gradients lie: of keys [K], of values in the block's columns.</summary>
    private struct Token
    {
        public nint DecayRow;
        public float* R, D, K, A, B, DR, DD, DK, DA, DB, V, Y, DO, DV;
    }

    /// <summary>Some columns of a head.</summary>
    private readonly struct Block(StateOperands operands, StateOperands gradients, float* dS, Buffers buffers, int head, int column)
    {
        public readonly StateOperands Operands = operands, Gradients = gradients;
        public readonly float* LastGradient = dS;
        public readonly Buffers Buffers = buffers;
        public readonly int Column = column;

        public Token Token(int first, int t, int width)
        {
            var (_, T, H, K, _) = Operands.Sizes;
            nint row = ((nint)(head / H) * T + first + t) * H + head % H;
            int decays = Operands.Decays;
            return new()
            {
                R = Operands.Q + row * K,
                K = Operands.K + row * K,
                A = Operands.Asks + row * K,
                B = Operands.Rewrites + row * K,
                DR = Gradients.Q + row * K,
                DK = Gradients.K + row * K,
                DA = Gradients.Asks + row * K,
                DB = Gradients.Rewrites + row * K,
                D = decays == 0 ? Buffers.One : Operands.Decay + row * decays,
                DD = decays == 0 ? Buffers.None : Gradients.Decay + row * decays,
                DecayRow = decays > 1 ? 1 : 0,
                V = Buffers.V + t * width,
                Y = Buffers.Y + t * width,
                DO = Buffers.DO + t * width,
                DV = Buffers.DV + t * width,
            };
        }

        /// <summary>Columns of states [B, H, K, V], zero where these are null, and zero in what fills up registers.</summary>
        public void LoadState(float* states, float* to, int width, int columns)
        {
            var (_, _, _, K, V) = Operands.Sizes;
            new Ref(to, K * width).Clear();
            if (states != null) StridedRows.Copy(states + (nint)head * K * V + Column, V, to, width, K, columns);
        }

        public void StoreState(float* from, float* states, int width, int columns)
        {
            var (_, _, _, K, V) = Operands.Sizes;
            StridedRows.Copy(from, width, states + (nint)head * K * V + Column, V, K, columns);
        }

        public void LoadTokens(int first, int count, int width, int columns)
        {
            new Ref(Buffers.V, Tokens * width).Clear();
            new Ref(Buffers.DO, Tokens * width).Clear();
            StridedRows.Copy(Operands.V + Values(first), Step, Buffers.V, width, count, columns);
            StridedRows.Copy(Operands.O + Values(first), Step, Buffers.DO, width, count, columns);
        }

        public void StoreTokens(int first, int count, int width, int columns) =>
            StridedRows.Copy(Buffers.DV, width, Gradients.V + Values(first), Step, count, columns);

        private int Step => Operands.Sizes.H * Operands.Sizes.V;

        private nint Values(int first)
        {
            var (_, T, H, _, V) = Operands.Sizes;
            return (((nint)(head / H) * T + first) * H + head % H) * V + Column;
        }

    }

    /// <summary>States at the chunks' beginnings and at each token of one; its values, answers and gradients.</summary>
    private readonly struct Buffers
    {
        public readonly float* Starts, States, G, V, Y, DO, DV, One, None;

        public Buffers(AttentionSizes sizes, Scratch scratch)
        {
            int width = 4 * L.Count, size = checked(sizes.K * width);
            Starts = scratch.Take(checked((sizes.T + Tokens - 1) / Tokens * size));
            States = scratch.Take(checked((Tokens + 1) * size));
            G = scratch.Take(size);
            V = scratch.Take(Tokens * width);
            Y = scratch.Take(Tokens * width);
            DO = scratch.Take(Tokens * width);
            DV = scratch.Take(Tokens * width);
            One = scratch.Take(1);
            None = scratch.Take(1);
        }
    }
}
