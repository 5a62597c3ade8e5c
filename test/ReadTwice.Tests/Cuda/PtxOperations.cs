namespace ReadTwice.Tests.Cuda;

/// <summary>Finds what executes an instruction; one that is in no table here is refused.</summary>
internal static class PtxOperations
{
    public static Action<PtxWarp, uint> Bind(PtxInstruction instruction) => instruction switch
    {
        { Kind: not PtxInstructionKind.Ordinary } => (_, _) => { }
        ,
        _ when PtxArithmetic.Find(instruction.Opcode, instruction.Operands.Length - 1) is { } function => Lanewise(instruction, function),
        { Base: "mov" } => Move(instruction),
        { Base: "ld" or "st" or "cp" or "ldmatrix" } => PtxTransfers.Bind(instruction),
        { Base: "shfl" or "mma" or "movmatrix" } => PtxWarpWide.Bind(instruction),
        _ => throw instruction.Error("this instruction is not known"),
    };

    public static void RequireWholeWarp(PtxInstruction instruction, uint mask)
    {
        if (mask != PtxWarp.All) throw instruction.Error($"executed by the lanes {mask:x8} only; it needs the whole warp");
    }

    private static Action<PtxWarp, uint> Lanewise(PtxInstruction instruction, Delegate function)
    {
        int[] at = [.. instruction.Operands.Select(operand => operand.Register * PtxWarp.Lanes)];
        return function switch
        {
            Func<ulong, ulong> f => (warp, mask) =>
            {
                ulong[] r = warp.Registers;
                for (int lane = 0; lane < PtxWarp.Lanes; lane++)
                    if ((mask >> lane & 1) != 0) r[at[0] + lane] = f(r[at[1] + lane]);
            }
            ,
            Func<ulong, ulong, ulong> f => (warp, mask) =>
            {
                ulong[] r = warp.Registers;
                for (int lane = 0; lane < PtxWarp.Lanes; lane++)
                    if ((mask >> lane & 1) != 0) r[at[0] + lane] = f(r[at[1] + lane], r[at[2] + lane]);
            }
            ,
            Func<ulong, ulong, ulong, ulong> f => (warp, mask) =>
            {
                ulong[] r = warp.Registers;
                for (int lane = 0; lane < PtxWarp.Lanes; lane++)
                    if ((mask >> lane & 1) != 0) r[at[0] + lane] = f(r[at[1] + lane], r[at[2] + lane], r[at[3] + lane]);
            }
            ,
            _ => throw instruction.Error("no function of so many operands"),
        };
    }

    // A move, which may also split a register into halves or join them.
    private static Action<PtxWarp, uint> Move(PtxInstruction instruction)
    {
        var (to, from) = (instruction.Operands[0], instruction.Operands[1]);
        int bits = 8 * PtxParser.TypeBytes(instruction.Type);
        return (warp, mask) =>
        {
            ulong[] r = warp.Registers;
            for (int lane = 0; lane < PtxWarp.Lanes; lane++)
            {
                if ((mask >> lane & 1) == 0) continue;
                ulong value = 0;
                int part = bits / (from.Elements?.Length ?? 1);
                if (from.Elements is null) value = r[PtxWarp.Base(from) + lane];
                else for (int i = 0; i < from.Elements.Length; i++) value |= r[PtxWarp.Base(from.Elements[i]) + lane] << (i * part);
                if (to.Elements is null) r[PtxWarp.Base(to) + lane] = value;
                else
                    for (int i = 0; i < to.Elements.Length; i++)
                    {
                        int half = bits / to.Elements.Length;
                        r[PtxWarp.Base(to.Elements[i]) + lane] = value >> (i * half) & ((1ul << half) - 1);
                    }
            }
        };
    }
}
