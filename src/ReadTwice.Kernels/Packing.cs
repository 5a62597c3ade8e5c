using System.Runtime.InteropServices;

namespace ReadTwice.Kernels;

/// <summary>Lays rows of weights as panels.</summary>
internal static unsafe class Packing
{
    private const int Width = Panels.Width, Group = Panels.Group;

    /// <summary>Packs float32 weights [N, K].</summary>
    public static void Pack(Panels panels, float* weight, byte* to, int threads) => Pack(panels, to, threads, (output, input, outputs, inputs, block, _) =>
        Transpose.Copy(weight + (long)output * panels.K + input, panels.K, outputs, inputs, 1, block, Width));

    /// <summary>Packs bfloat16 weights [N, K].</summary>
    public static void Pack(Panels panels, ushort* weight, byte* to, int threads) => Pack(panels, to, threads, (output, input, outputs, inputs, block, rows) =>
    {
        for (int row = 0; row < outputs; row++)
        {
            ushort* from = weight + (long)(output + row) * panels.K + input;
            for (int k = 0; k < inputs; k++) rows[row * Group + k] = BitConverter.UInt32BitsToSingle((uint)from[k] << 16);
        }
        Transpose.Copy(rows, Group, outputs, inputs, 1, block, Width);
    });

    // Turns a group into columns: block[input, output].
    private delegate void Turn(int output, int input, int outputs, int inputs, float* block, float* rows);

    private static void Pack(Panels panels, byte* to, int threads, Turn turn) => Workers.Run(panels.Count, threads, panel =>
    {
        using var scratch = Scratch.For(scratch => new Buffers(scratch), out var buffers);
        int outputs = panels.Outputs(panel);
        if (outputs < Width) new Span<float>(buffers.Columns, Group * Width).Clear();
        for (int k = 0; k < panels.K; k += Group)
        {
            int inputs = Math.Min(Group, panels.K - k);
            turn(panel * Width, k, outputs, inputs, buffers.Columns, buffers.Rows);
            Write(panels.Type, inputs, buffers.Columns, to + panels.Offset(panel, k));
        }
    });

    private readonly struct Buffers(Scratch scratch)
    {
        public readonly float* Columns = scratch.Take(Group * Width);
        public readonly float* Rows = scratch.Take(Group * Width);
    }

    private static void Write(PackedType type, int inputs, float* block, byte* to)
    {
        int count = inputs * Width;
        if (type == PackedType.Float32) NativeMemory.Copy(block, to, (nuint)count * sizeof(float));
        else if (type == PackedType.BFloat16)
            for (int i = 0; i < count; i++) ((ushort*)to)[i] = BFloat16.Nearest(block[i]);
        else WriteInt8(inputs, block, (float*)to, (sbyte*)to + Width * sizeof(float));
    }

    // What is no number, or infinite, makes the scale so and with it the outputs.
    private static void WriteInt8(int inputs, float* block, float* scales, sbyte* to)
    {
        const float Smallest = 1e-30f;
        float* inverse = stackalloc float[Width];
        for (int j = 0; j < Width; j++)
        {
            float largest = 0;
            for (int k = 0; k < inputs; k++) largest = Math.Max(largest, Math.Abs(block[k * Width + j]));
            scales[j] = largest < Smallest ? 0 : largest / 127;
            inverse[j] = largest < Smallest ? 0 : 127 / largest;
        }
        for (int k = 0; k < inputs; k++)
            for (int j = 0; j < Width; j++)
                to[k * Width + j] = (sbyte)Math.Clamp(MathF.Round(block[k * Width + j] * inverse[j]), -127, 127);
    }
}
