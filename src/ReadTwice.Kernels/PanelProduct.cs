using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>Products with many rows: tiles of six rows by 64 outputs, over blocks that stay in the caches while they are used.</summary>
internal static unsafe class PanelProduct<L> where L : struct, ILanes<L>
{
    private const int Width = Panels.Width, MostRows = 192, MostInputs = 512, FewestItemsForThread = 4;

    public static void Multiply(ProductOperands operands, int threads)
    {
        var panels = operands.Panels;
        int blocks = (operands.M + MostRows - 1) / MostRows;
        if (blocks > threads) blocks = (blocks + threads - 1) / threads * threads;
        int rows = (operands.M + blocks - 1) / blocks;
        rows = (rows + Tile<L>.Rows - 1) / Tile<L>.Rows * Tile<L>.Rows;
        blocks = (operands.M + rows - 1) / rows;
        int strips = threads == 1 ? 1 : Math.Clamp((FewestItemsForThread * threads + blocks - 1) / blocks, 1, panels.Count);
        Workers.Run(blocks * strips, threads, item =>
        {
            int block = item / strips, strip = item % strips;
            using var scratch = Scratch.For(scratch => new Buffers(panels.Type, scratch), out var buffers);
            new Block(operands, buffers, block * rows, Math.Min(operands.M, (block + 1) * rows)).Multiply(
                panels.Count * strip / strips, panels.Count * (strip + 1) / strips);
        });
    }

    private readonly struct Buffers(PackedType type, Scratch scratch)
    {
        public readonly float* Unpacked = scratch.Take(type == PackedType.Float32 ? 0 : MostInputs * Width);
        public readonly float* Edge = scratch.Take(Tile<L>.Rows * Width);
    }

    /// <summary>Some rows of x and y.</summary>
    private readonly struct Block(ProductOperands operands, Buffers buffers, int from, int to)
    {
        public void Multiply(int firstPanel, int endPanel)
        {
            var panels = operands.Panels;
            for (int k = 0; k < panels.K; k += MostInputs)
                for (int panel = firstPanel; panel < endPanel; panel++)
                    Multiply(panel, k, Math.Min(MostInputs, panels.K - k));
        }

        private void Multiply(int panel, int k, int inputs)
        {
            var panels = operands.Panels;
            float* weights = Floats(panel, k, inputs);
            int N = panels.N, K = panels.K, first = panel * Width, outputs = panels.Outputs(panel);
            int lanes = (outputs + L.Count - 1) / L.Count * L.Count;
            bool begins = k == 0;
            for (int row = from; row < to; row += Tile<L>.Rows)
            {
                int rows = Math.Min(Tile<L>.Rows, to - row);
                float* x = operands.X + (long)row * K + k, y = operands.Y + (long)row * N + first;
                bool whole = rows == Tile<L>.Rows && outputs == lanes;
                float* c = whole ? y : buffers.Edge;
                int cRow = whole ? N : Width;
                bool add = !begins || operands.Bias != null;
                if (begins) SetToBias(operands.Bias == null ? null : operands.Bias + first, outputs, rows, c, cRow);
                else if (!whole) StridedRows.Copy(y, N, c, cRow, rows, outputs);

                if (rows < Tile<L>.Rows) PanelRows<L, StoredFloat32<L>>.Add(rows, x, K, (byte*)weights, inputs, c, cRow);
                else if (add) Tile<L>.Add(lanes, new Product(x, 1, K, weights, Width, inputs), c, cRow);
                else Tile<L>.Set(lanes, new Product(x, 1, K, weights, Width, inputs), c, cRow);

                if (!whole) StridedRows.Copy(c, cRow, y, N, rows, outputs);
            }
        }

        // The weights of some inputs, as floats: where they lie or, for all rows of the block at once, unpacked.
        private float* Floats(int panel, int k, int inputs)
        {
            var panels = operands.Panels;
            if (panels.Type == PackedType.Float32) return (float*)(operands.Weights + panels.Offset(panel, k));
            for (int i = 0; i < inputs; i += Panels.Group)
            {
                int count = Math.Min(Panels.Group, inputs - i);
                byte* group = operands.Weights + panels.Offset(panel, k + i);
                float* to = buffers.Unpacked + i * Width;
                if (panels.Type == PackedType.BFloat16) Unpack<StoredBFloat16<L>>(group, count, to);
                else Unpack<StoredInt8<L>>(group, count, to);
            }
            return buffers.Unpacked;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Unpack<W>(byte* group, int inputs, float* to) where W : struct, IStored<L>
        {
            byte* weights = group + (W.Scaled ? Width * sizeof(float) : 0);
            for (int column = 0; column < Width; column += L.Count)
            {
                L scale = W.Scaled ? L.Load((float*)group + column) : default;
                for (int i = 0; i < inputs; i++)
                {
                    L weight = W.Load(weights + (i * Width + column) * W.Bytes);
                    (W.Scaled ? scale * weight : weight).Store(to + i * Width + column);
                }
            }
        }

        // Without a bias only sums that are added to need a start.
        private static void SetToBias(float* bias, int outputs, int rows, float* c, int cRow)
        {
            if (bias == null && rows == Tile<L>.Rows) return;
            for (int row = 0; row < rows; row++)
            {
                var to = new Span<float>(c + (long)row * cRow, outputs);
                if (bias == null) to.Clear();
                else new Span<float>(bias, outputs).CopyTo(to);
            }
        }
    }
}
