namespace ReadTwice.Kernels;

/// <summary>Attention over a window, some neighbouring queries at a time: they see nearly the same keys, which are laid out once for them.</summary>
internal static unsafe class WindowBlocks<L> where L : struct, ILanes<L>
{
    private const int Fewest = 48, Most = 192;   // queries of a block: fewer lay out keys too often, more do not stay near

    public static void Run(WindowOperands operands, int threads)
    {
        var (B, T, _, KeyHeads, _, W) = operands.Sizes;
        int block = Math.Clamp(W, Fewest, Most) / Tile<L>.Rows * Tile<L>.Rows, blocks = (T + block - 1) / block, items = B * KeyHeads * blocks;
        Workers.Run(items, Workers.Count(threads), i =>
        {
            using var scratch = Scratch.For(scratch => new Buffers(operands.Sizes, Math.Min(block, T), scratch), out var buffers);
            int from = i % blocks * block, head = i / blocks;
            Block(operands, buffers, head / KeyHeads, head % KeyHeads, from, Math.Min(block, T - from));
        });
        for (int i = 0; i < B * KeyHeads; i++) WindowRows<L>.Keep(operands, i / KeyHeads, i % KeyHeads);   // when nobody reads the old ones any more
    }

    private static void Block(WindowOperands operands, Buffers to, int b, int g, int from, int count)
    {
        var (_, _, H, KeyHeads, E, _) = operands.Sizes;
        int first = operands.First(b, from), keys = operands.Past + from + count - first;
        Lay(operands, to, b, g, first, keys);
        for (int h = g * (H / KeyHeads); h < (g + 1) * (H / KeyHeads); h++)
            for (int t = from; t < from + count; t += Tile<L>.Rows)
            {
                int rows = Math.Min(Tile<L>.Rows, from + count - t);
                Attend(operands, to, b, h, t, rows, first);
                for (int row = 0; row < rows; row++)
                    new In(to.O + row * to.E, E).CopyTo(new(operands.Row(operands.O, H * E, b, t + row, h), E));
            }
    }

    /// <summary>Lays keys turned side by side, a channel a row, and values one below the other.</summary>
    private static void Lay(WindowOperands operands, Buffers to, int b, int g, int first, int count)
    {
        int E = operands.Sizes.E, past = Math.Max(0, operands.Past - first);
        for (int i = 0; i < count; i++)
        {
            float* key = to.Turned + i * E, value;
            if (i < past)
            {
                int slot = operands.Slot(first + i);
                new In(operands.Ring(operands.Keys, b, g, slot), E).CopyTo(new(key, E));
                value = operands.Ring(operands.Values, b, g, slot);
            }
            else
            {
                int t = first + i - operands.Past;
                WindowRows<L>.Turn(operands, t, 1, operands.Row(operands.K, operands.KRow, b, t, g), key);
                value = operands.Row(operands.V, operands.VRow, b, t, g);
            }
            new In(value, E).CopyTo(new(to.Values + i * to.E, E));
        }
        Transpose.Copy(to.Turned, E, count, E, 1, to.Keys, to.N);
    }

    /// <summary>Up to six queries of a head, over keys of which the first is this one.</summary>
    private static void Attend(WindowOperands operands, Buffers to, int b, int h, int t, int rows, int first)
    {
        int E = operands.Sizes.E;
        for (int row = 0; row < rows; row++)
            WindowRows<L>.Turn(
                operands, t + row, operands.Scale * PowerOfTwo.Log2E, operands.Row(operands.Q, operands.QRow, b, t + row, h), to.Queries + row * E);

        // Whole registers of keys, from the first that the first query sees to the last query's own.
        int from = (operands.First(b, t) - first) / L.Count * L.Count, end = operands.Past + t + rows - first;
        int width = (end - from + L.Count - 1) / L.Count * L.Count;
        float* scores = to.Scores + from;
        Tile<L>.Set(width, new Product(to.Queries, 1, E, to.Keys + from, to.N, E), scores, to.N);
        for (int row = 0; row < rows; row++)
        {
            float* own = scores + row * to.N;
            int seen = operands.First(b, t + row) - first - from, next = operands.Past + t + row + 1 - first - from;
            new Ref(own, seen).Fill(WindowRows<L>.Unseen);
            new Ref(own + next, width - next).Fill(WindowRows<L>.Unseen);
            to.Factors[row] = WindowRows<L>.Weigh(own, width);
        }
        Tile<L>.Set(to.E, new Product(scores, 1, to.N, to.Values + from * to.E, to.E, end - from), default, to.Factors, to.O, to.E);
    }

    private readonly struct Buffers(WindowSizes sizes, int block, Scratch scratch)
    {
        /// <summary>Keys of a block, and channels, in whole registers.</summary>
        public readonly int N = Whole(sizes.W + block), E = Whole(sizes.E);

        public readonly float* Turned = scratch.Take(checked((sizes.W + block) * sizes.E));
        public readonly float* Keys = scratch.Take(checked(sizes.E * Whole(sizes.W + block)));
        public readonly float* Values = scratch.Take(checked((sizes.W + block) * Whole(sizes.E)));
        public readonly float* Queries = scratch.Take(Tile<L>.Rows * sizes.E);
        public readonly float* Scores = scratch.Take(checked(Tile<L>.Rows * Whole(sizes.W + block)));
        public readonly float* Factors = scratch.Take(Tile<L>.Rows);
        public readonly float* O = scratch.Take(Tile<L>.Rows * Whole(sizes.E));

        private static int Whole(int numbers) => (numbers + L.Count - 1) / L.Count * L.Count;
    }
}
