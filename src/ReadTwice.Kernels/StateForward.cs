namespace ReadTwice.Kernels;

/// <summary>Reads token after token with every thread: columns of a state do not touch each other, so each thread has some of a head.</summary>
internal static unsafe class StateForward<L, TRule> where L : struct, ILanes<L> where TRule : struct, IStateRule
{
    private const int Tokens = 32, MostColumns = 64, FewestProductsForThreads = 1 << 15;

    public static void Read(StateOperands operands, int threads)
    {
        var (B, T, H, K, V) = operands.Sizes;
        int width = Math.Min(MostColumns, (V + L.Count - 1) / L.Count * L.Count), blocks = (V + width - 1) / width, all = B * H * blocks;
        int parts = (long)B * H * T * K * V < FewestProductsForThreads ? 1 : Math.Min(threads, all);
        RowWork.Run(all, parts, (_, first, next) =>
        {
            using var scratch = Scratch.For(scratch => new Buffers(K, width, scratch), out var buffers);
            *buffers.One = 1;
            for (int i = first; i < next; i++)
            {
                int head = i / blocks, column = i % blocks * width;
                Read(operands, buffers, head / H, head % H, column, Math.Min(width, V - column));
            }
        });
    }

    private static void Read(in StateOperands operands, Buffers buffers, int b, int h, int column, int columns)
    {
        var (_, T, H, K, V) = operands.Sizes;
        int width = buffers.Width;
        float* S = operands.S + (nint)(b * H + h) * K * V + column;
        // A state that is met once or twice only is not worth a copy, unless whole registers would reach beyond it.
        bool inPlace = T <= 2 && columns % L.Count == 0;
        if (columns < width) buffers.Clear();   // what fills up registers would be as right as any, but numbers near zero are slow
        if (!inPlace) StridedRows.Copy(S, V, buffers.S, width, K, columns);
        for (int t = 0; t < T; t += Tokens)
        {
            nint row = ((nint)b * T + t) * H + h;
            var piece = Piece(operands, buffers, row, h, Math.Min(Tokens, T - t));
            if (inPlace)
            {
                piece.S = S;
                piece.StateStep = V;
            }
            StridedRows.Copy(operands.V + row * V + column, H * V, buffers.V, width, piece.Count, columns);
            Read(piece, columns);
            StridedRows.Copy(buffers.O, width, operands.O + row * V + column, H * V, piece.Count, columns);
        }
        if (!inPlace) StridedRows.Copy(buffers.S, width, S, V, K, columns);
    }

    private static StatePiece Piece(in StateOperands operands, Buffers buffers, nint row, int h, int count)
    {
        var (_, _, H, K, _) = operands.Sizes;
        var piece = new StatePiece
        {
            Rows = K,
            Count = count,
            StateStep = buffers.Width,
            Width = buffers.Width,
            Scale = operands.Scale,
            Step = H * K,
            AskStep = H * K,
            BetaStep = H,
            Q = operands.Q + row * K,
            K = operands.K + row * K,
            Asks = operands.AsksKeys ? operands.K + row * K : operands.Asks + row * K,
            Rewrites = operands.Rewrites + row * K,
            Beta = operands.Beta + row,
            Bonus = operands.Bonus + h * K,
            V = buffers.V,
            S = buffers.S,
            O = buffers.O,
        };
        if (operands.Decays == 0)
        {
            piece.Decay = buffers.One;
            return piece;
        }
        piece.Decay = operands.Decay + row * operands.Decays;
        piece.DecayStep = H * operands.Decays;
        piece.DecayRow = operands.Decays == 1 ? 0 : 1;
        if (!operands.AsksKeys) return piece;

        // A key that asks the state after its decay asks the one before it as the decayed key.
        for (int i = 0; i < count; i++)
            Multiply(piece.K + i * H * K, piece.Decay + i * piece.DecayStep, piece.DecayRow == 0, buffers.Asks + i * K, K);
        piece.Asks = buffers.Asks;
        piece.AskStep = K;
        return piece;
    }

    private static void Multiply(float* key, float* decay, bool one, float* product, int K)
    {
        int i = 0;
        for (; i <= K - L.Count; i += L.Count) (L.Load(key + i) * (one ? L.Create(*decay) : L.Load(decay + i))).Store(product + i);
        for (; i < K; i++) product[i] = key[i] * decay[one ? 0 : i];
    }

    private static void Read(in StatePiece piece, int columns)
    {
        for (int column = 0; column < columns;)
        {
            int left = (columns - column + L.Count - 1) / L.Count;
            if (L.WidestRow >= 4 && left >= 4)
            {
                TRule.Read<L, Row4<L>>(piece, column);
                column += 4 * L.Count;
            }
            else if (L.WidestRow >= 4 && left == 3)
            {
                TRule.Read<L, Row3<L>>(piece, column);
                column += 3 * L.Count;
            }
            else if (left >= 2)
            {
                TRule.Read<L, Row2<L>>(piece, column);
                column += 2 * L.Count;
            }
            else
            {
                TRule.Read<L, L>(piece, column);
                column += L.Count;
            }
        }
    }

    private readonly struct Buffers
    {
        private readonly int K;
        public readonly int Width;
        public readonly float* S, V, O, Asks, One;

        public Buffers(int K, int width, Scratch scratch)
        {
            this.K = K;
            Width = width;
            S = scratch.Take(checked(K * width));
            V = scratch.Take(Tokens * width);
            O = scratch.Take(Tokens * width);
            Asks = scratch.Take(checked(Tokens * K));
            One = scratch.Take(1);
        }

        public void Clear()
        {
            new Ref(S, K * Width).Clear();
            new Ref(V, Tokens * Width).Clear();
        }
    }
}
