namespace ReadTwice.Kernels;

public sealed partial class PackedMatrix
{
    internal static void Reference(In weight, int N, int K, PackedType type, In x, Ref y, In bias)
    {
        int M = x.Length / K;
        for (int n = 0; n < N; n++)
        {
            var row = Kept(weight.Slice(n * K, K), type);
            for (int m = 0; m < M; m++)
            {
                double sum = bias.IsEmpty ? 0 : bias[n];
                for (int k = 0; k < K; k++) sum += (double)x[m * K + k] * row[k];
                y[m * N + n] = (float)sum;
            }
        }
    }

    // The weights of one output as the type can tell them.
    private static float[] Kept(In row, PackedType type)
    {
        float[] kept = row.ToArray();
        if (type == PackedType.BFloat16)
            foreach (ref float w in kept.AsSpan())
            {
                float below = BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(w) & 0xffff0000);
                float above = BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(w) + 0x10000 & 0xffff0000);
                bool even = (BitConverter.SingleToUInt32Bits(below) >> 16 & 1) == 0;
                float down = Math.Abs(w - below), up = Math.Abs(above - w);
                w = down < up || (down == up && even) ? below : above;
            }
        if (type == PackedType.Int8)
            for (int k = 0; k < kept.Length; k += 64)
            {
                var group = kept.AsSpan(k, Math.Min(64, kept.Length - k));
                float largest = 0;
                foreach (float w in group) largest = Math.Max(largest, Math.Abs(w));
                if (largest < 1e-30f) group.Clear();
                else
                    foreach (ref float w in group) w = MathF.Round(w * (127 / largest)) * (largest / 127);
            }
        return kept;
    }
}
