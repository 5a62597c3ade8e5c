using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>Products with a few rows, as when a model writes token after token: all the time goes into reading weights, once.</summary>
internal static unsafe class PanelStream<L> where L : struct, ILanes<L>
{
    /// <summary>Beyond so many rows computing takes longer than reading.</summary>
    public const int MostRows = 7;

    private const int FewestBytesForThreads = 1 << 17, FewestBytesInItem = 1 << 18;

    public static void Multiply(ProductOperands operands, int threads)
    {
        var panels = operands.Panels;
        if (panels.Bytes < FewestBytesForThreads) threads = 1;
        int most = (panels.Count + threads - 1) / threads;
        int together = (int)Math.Clamp(FewestBytesInItem / panels.PanelBytes, 1, most);
        Workers.Run((panels.Count + together - 1) / together, threads, item =>
        {
            for (int panel = item * together; panel < Math.Min(panels.Count, (item + 1) * together); panel++)
                if (panels.Type == PackedType.Float32) Read<StoredFloat32<L>>(operands, panel);
                else if (panels.Type == PackedType.BFloat16) Read<StoredBFloat16<L>>(operands, panel);
                else Read<StoredInt8<L>>(operands, panel);
        });
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Read<W>(ProductOperands operands, int panel) where W : struct, IStored<L>
    {
        const int Width = Panels.Width, Group = Panels.Group;
        var panels = operands.Panels;
        int first = panel * Width, outputs = panels.Outputs(panel);
        float* sums = stackalloc float[MostRows * Width];
        for (int row = 0; row < operands.M; row++)
        {
            var sum = new Span<float>(sums + row * Width, Width);
            sum.Clear();
            if (operands.Bias != null) new Span<float>(operands.Bias + first, outputs).CopyTo(sum);
        }
        byte* group = operands.Weights + panels.Offset(panel, 0);
        int groupBytes = panels.GroupBytes, K = panels.K;
        for (int k = 0; k < K; k += Group, group += groupBytes)
            PanelRows<L, W>.Add(operands.M, operands.X + k, K, group, Math.Min(Group, K - k), sums, Width);
        for (int row = 0; row < operands.M; row++)
            new Span<float>(sums + row * Width, outputs).CopyTo(new Span<float>(operands.Y + (long)row * panels.N + first, outputs));
    }
}
