namespace ReadTwice.Kernels;

/// <summary>Reads token after token with every thread: columns of a state do not touch each other, so each thread has some of a head.</summary>
internal static unsafe class GatedForward<L> where L : struct, ILanes<L>
{
    private const int Tokens = 32, MostColumns = 64, FewestProductsForThreads = 1 << 15;

    public static void Read(GatedOperands operands, int threads)
    {
        var (B, T, H, K, V) = operands.Sizes;
        int width = Math.Min(MostColumns, (V + L.Count - 1) / L.Count * L.Count), blocks = (V + width - 1) / width, all = B * H * blocks;
        int parts = (long)B * H * T * K * V < FewestProductsForThreads ? 1 : Math.Min(threads, all);
        RowWork.Run(all, parts, (_, first, next) =>
        {
            using var scratch = Scratch.For(scratch => new Buffers(K, width, scratch), out var buffers);
            for (int i = first; i < next; i++)
            {
                int head = i / blocks, column = i % blocks * width;
                Read(operands, buffers, head / H, head % H, column, Math.Min(width, V - column));
            }
        });
    }

    // What fills up registers in the buffers is left as it is: no column meets another, and these are never copied back.
    private static void Read(GatedOperands operands, Buffers buffers, int b, int h, int column, int columns)
    {
        var (_, T, H, K, V) = operands.Sizes;
        int width = buffers.Width;
        float* S = operands.S + (nint)(b * H + h) * K * V + column;
        // A state that is met once only is not worth a copy, unless whole registers would reach beyond it.
        bool inPlace = T <= 2 && columns % L.Count == 0;
        if (!inPlace) StridedRows.Copy(S, V, buffers.S, width, K, columns);
        for (int t = 0; t < T; t += Tokens)
        {
            int count = Math.Min(Tokens, T - t);
            nint row = ((nint)b * T + t) * H + h;
            StridedRows.Copy(operands.V + row * V + column, H * V, buffers.V, width, count, columns);
            var piece = new GatedPiece
            {
                Rows = K,
                Count = count,
                Scale = operands.Scale,
                StateStep = inPlace ? V : width,
                Width = width,
                Step = H * K,
                Q = operands.Q + row * K,
                K = operands.K + row * K,
                V = buffers.V,
                S = inPlace ? S : buffers.S,
                O = buffers.O,
                Decay = buffers.Decay,
            };
            float* decay = operands.Decay;
            switch (operands.Fading)
            {
                case Fading.Heads:
                    for (int i = 0; i < count; i++) buffers.Decay[i] = MathF.Exp(decay[row + i * H]);
                    piece.DecayStep = 1;
                    GatedPiece<L>.Read<RowFade<L>>(piece, columns);
                    break;
                case Fading.Rows:
                    for (int i = 0; i < count; i++) Exponential.Of(decay + (row + i * H) * K, buffers.Decay + i * K, K);
                    (piece.DecayStep, piece.DecayRow) = (K, 1);
                    GatedPiece<L>.Read<RowFade<L>>(piece, columns);
                    break;
                case Fading.Columns:
                    for (int i = 0; i < count; i++) Exponential.Of(decay + (row + i * H) * V + column, buffers.Decay + i * width, columns);
                    piece.DecayStep = width;
                    GatedPiece<L>.Read<ColumnFade<L>>(piece, columns);
                    break;
                default:
                    GatedPiece<L>.Read<NoFade<L>>(piece, columns);
                    break;
            }
            StridedRows.Copy(buffers.O, width, operands.O + row * V + column, H * V, count, columns);
        }
        if (!inPlace) StridedRows.Copy(buffers.S, width, S, V, K, columns);
    }

    private readonly struct Buffers
    {
        public readonly int Width;
        public readonly float* S, V, O, Decay;

        public Buffers(int K, int width, Scratch scratch)
        {
            Width = width;
            S = scratch.Take(checked(K * width));
            V = scratch.Take(Tokens * width);
            O = scratch.Take(Tokens * width);
            Decay = scratch.Take(checked(Tokens * Math.Max(K, width)));
        }
    }
}
