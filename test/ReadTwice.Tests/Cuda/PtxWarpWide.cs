namespace ReadTwice.Tests.Cuda;

/// <summary>The instructions in which the lanes of a warp compute together.</summary>
internal static class PtxWarpWide
{
    private const string Product = "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32";

    public static Action<PtxWarp, uint> Bind(PtxInstruction instruction)
    {
        if (instruction.Opcode == Product) return (warp, mask) => Multiply(warp, mask, instruction);
        Func<int, int, int> source = instruction.Opcode switch
        {
            "shfl.sync.idx.b32" => (_, b) => b & 31,
            "shfl.sync.bfly.b32" => (lane, b) => lane ^ b,
            "shfl.sync.down.b32" => (lane, b) => lane + b > 31 ? lane : lane + b,
            "shfl.sync.up.b32" => (lane, b) => lane < b ? lane : lane - b,
            _ => throw instruction.Error("this instruction is not known"),
        };
        return (warp, mask) => Shuffle(warp, mask, instruction, source);
    }

    private static void Shuffle(PtxWarp warp, uint mask, PtxInstruction instruction, Func<int, int, int> source)
    {
        PtxOperations.RequireWholeWarp(instruction, mask);
        var operands = instruction.Operands;
        ulong[] r = warp.Registers;
        Span<ulong> from = stackalloc ulong[PtxWarp.Lanes];
        r.AsSpan(PtxWarp.Base(operands[1]), PtxWarp.Lanes).CopyTo(from);
        for (int lane = 0; lane < PtxWarp.Lanes; lane++)
        {
            if (r[PtxWarp.Base(operands[3]) + lane] != 0x1F) throw instruction.Error("only shuffles over the whole warp are known");
            if ((uint)r[PtxWarp.Base(operands[4]) + lane] != PtxWarp.All) throw instruction.Error("the member mask is not the whole warp");
            r[PtxWarp.Base(operands[0]) + lane] = from[source(lane, (int)r[PtxWarp.Base(operands[2]) + lane])];
        }
    }

    // D [16, 8] = A [16, 16] B [16, 8] + C, where lane 4 g + t holds rows g and g + 8 and columns 2 t and 2 t + 1.
    private static void Multiply(PtxWarp warp, uint mask, PtxInstruction instruction)
    {
        PtxOperations.RequireWholeWarp(instruction, mask);
        Span<float> a = stackalloc float[256], b = stackalloc float[128];
        Span<ulong> d = stackalloc ulong[128];
        ulong[] r = warp.Registers;
        PtxOperand[] toD = instruction.Operands[0].Elements!, ofA = instruction.Operands[1].Elements!;
        PtxOperand[] ofB = instruction.Operands[2].Elements!, ofC = instruction.Operands[3].Elements!;
        for (int lane = 0; lane < PtxWarp.Lanes; lane++)
        {
            var (g, t) = (lane >> 2, lane & 3);
            for (int i = 0; i < 4; i++)
            {
                uint pair = (uint)r[PtxWarp.Base(ofA[i]) + lane];
                int at = (g + 8 * (i & 1)) * 16 + 2 * t + 8 * (i >> 1);
                (a[at], a[at + 1]) = (PtxArithmetic.Wide(pair & 0xFFFF), PtxArithmetic.Wide(pair >> 16));
            }
            for (int i = 0; i < 2; i++)
            {
                uint pair = (uint)r[PtxWarp.Base(ofB[i]) + lane];
                int at = g * 16 + 2 * t + 8 * i;
                (b[at], b[at + 1]) = (PtxArithmetic.Wide(pair & 0xFFFF), PtxArithmetic.Wide(pair >> 16));
            }
        }
        for (int lane = 0; lane < PtxWarp.Lanes; lane++)
            for (int i = 0; i < 4; i++)
            {
                int row = (lane >> 2) + 8 * (i >> 1), column = 2 * (lane & 3) + (i & 1);
                double sum = PtxArithmetic.Float(r[PtxWarp.Base(ofC[i]) + lane]);
                for (int k = 0; k < 16; k++) sum += (double)a[row * 16 + k] * b[column * 16 + k];
                d[lane * 4 + i] = PtxArithmetic.Bits((float)sum);
            }
        for (int lane = 0; lane < PtxWarp.Lanes; lane++)
            for (int i = 0; i < 4; i++) r[PtxWarp.Base(toD[i]) + lane] = d[lane * 4 + i];
    }
}
