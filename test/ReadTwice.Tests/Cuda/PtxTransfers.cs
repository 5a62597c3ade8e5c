namespace ReadTwice.Tests.Cuda;

/// <summary>The instructions that move numbers between registers, shared and global memory.</summary>
internal static unsafe class PtxTransfers
{
    public static Action<PtxWarp, uint> Bind(PtxInstruction instruction)
    {
        string[] modifiers = instruction.Modifiers;
        if (instruction.Base is "ld" or "st")
        {
            int elements = modifiers.Contains("v4") ? 4 : modifiers.Contains("v2") ? 2 : 1;
            int bytes = PtxParser.TypeBytes(instruction.Type);
            bool isSigned = instruction.Type[0] == 's', isLoad = instruction.Base == "ld";
            return modifiers.FirstOrDefault(modifier => modifier is "param" or "shared" or "global") switch
            {
                "param" when isLoad => (warp, mask) => LoadParameter(warp, mask, instruction, elements, bytes),
                "shared" => (warp, mask) => Shared(warp, mask, instruction, elements, bytes, isLoad),
                "global" => (warp, mask) => Global(warp, mask, instruction, elements, bytes, isLoad, isSigned),
                _ => throw instruction.Error("this kind of memory is not known"),
            };
        }
        return instruction.Opcode switch
        {
            "ldmatrix.sync.aligned.m8n8.x4.shared.b16" => (warp, mask) => LoadMatrices(warp, mask, instruction, transposed: false),
            "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16" => (warp, mask) => LoadMatrices(warp, mask, instruction, transposed: true),
            "cp.async.cg.shared.global" => (warp, mask) => BeginCopy(warp, mask, instruction),
            "cp.async.commit_group" => (warp, _) =>
            {
                warp.Groups.Enqueue(warp.OpenGroup);
                warp.OpenGroup = [];
            }
            ,
            "cp.async.wait_group" => (warp, _) => EndCopies(warp, instruction),
            _ => throw instruction.Error("this instruction is not known"),
        };
    }

    private static void LoadParameter(PtxWarp warp, uint mask, PtxInstruction instruction, int elements, int bytes)
    {
        var (to, from) = (instruction.Operands[0], instruction.Operands[1]);
        for (int lane = 0; lane < PtxWarp.Lanes; lane++)
        {
            if ((mask >> lane & 1) == 0) continue;
            int at = (int)warp.Address(from, lane);
            if (at < 0 || at + elements * bytes > warp.Block.Parameters.Length) throw instruction.Error($"parameter byte {at} is out of bounds");
            for (int i = 0; i < elements; i++)
                warp.Registers[PtxWarp.Base(to.Elements?[i] ?? to) + lane] = Get(warp.Block.Parameters.AsSpan(at + i * bytes, bytes), false);
        }
    }

    private static void Shared(PtxWarp warp, uint mask, PtxInstruction instruction, int elements, int bytes, bool isLoad)
    {
        var (value, address) = isLoad ? (instruction.Operands[0], instruction.Operands[1]) : (instruction.Operands[1], instruction.Operands[0]);
        Span<uint> addresses = stackalloc uint[PtxWarp.Lanes];
        int count = 0;
        for (int lane = 0; lane < PtxWarp.Lanes; lane++)
        {
            if ((mask >> lane & 1) == 0) continue;
            uint at = addresses[count++] = (uint)warp.Address(address, lane);
            var from = isLoad ? warp.Block.Shared.Read(at, elements * bytes, warp.Index, instruction) : default;
            var to = isLoad ? default : warp.Block.Shared.Write(at, elements * bytes, warp.Index, instruction);
            for (int i = 0; i < elements; i++)
            {
                ref ulong register = ref warp.Registers[PtxWarp.Base(value.Elements?[i] ?? value) + lane];
                if (isLoad) register = Get(from.Slice(i * bytes, bytes), false);
                else Put(register, to.Slice(i * bytes, bytes));
            }
        }
        CountPasses(warp.Block.Counts, addresses[..count], elements * bytes);
    }

    private static void Global(PtxWarp warp, uint mask, PtxInstruction instruction, int elements, int bytes, bool isLoad, bool isSigned)
    {
        var (value, address) = isLoad ? (instruction.Operands[0], instruction.Operands[1]) : (instruction.Operands[1], instruction.Operands[0]);
        Span<ulong> sectors = stackalloc ulong[PtxWarp.Lanes];
        int touched = 0;
        var block = warp.Block;
        for (int lane = 0; lane < PtxWarp.Lanes; lane++)
        {
            if ((mask >> lane & 1) == 0) continue;
            ulong at = warp.Address(address, lane);
            byte* data = isLoad
                ? block.Global.Read(at, elements * bytes, block.Index, instruction)
                : block.Global.Write(at, elements * bytes, block.Index, instruction);
            for (int i = 0; i < elements; i++)
            {
                ref ulong register = ref warp.Registers[PtxWarp.Base(value.Elements?[i] ?? value) + lane];
                var span = new Span<byte>(data + i * bytes, bytes);
                if (isLoad) register = Get(span, isSigned);
                else Put(register, span);
            }
            if (!sectors[..touched].Contains(at / 32)) sectors[touched++] = at / 32;
        }
        block.Counts.GlobalSectors += touched;
    }

    private static void BeginCopy(PtxWarp warp, uint mask, PtxInstruction instruction)
    {
        var operands = instruction.Operands;
        Span<ulong> sectors = stackalloc ulong[PtxWarp.Lanes];
        int touched = 0;
        var block = warp.Block;
        for (int lane = 0; lane < PtxWarp.Lanes; lane++)
        {
            if ((mask >> lane & 1) == 0) continue;
            int bytes = (int)warp.Registers[PtxWarp.Base(operands[2]) + lane];
            int given = operands.Length > 3 ? (int)warp.Registers[PtxWarp.Base(operands[3]) + lane] : bytes;
            if (bytes != 16 || given is not (0 or 16)) throw instruction.Error($"a copy of {given} of {bytes} bytes is not known");
            uint to = (uint)warp.Address(operands[0], lane);
            ulong from = warp.Address(operands[1], lane);
            UInt128 data = 0;
            if (given > 0)
            {
                data = *(UInt128*)block.Global.Read(from, given, block.Index, instruction);
                if (!sectors[..touched].Contains(from / 32)) sectors[touched++] = from / 32;
            }
            block.Shared.BeginCopy(to, bytes, warp.Index, instruction);
            warp.OpenGroup.Add(new(to, data));
        }
        block.Counts.GlobalSectors += touched;
    }

    private static void EndCopies(PtxWarp warp, PtxInstruction instruction)
    {
        int left = (int)warp.Registers[PtxWarp.Base(instruction.Operands[0])];
        while (warp.Groups.Count > left)
            foreach (var copy in warp.Groups.Dequeue()) warp.Block.Shared.EndCopy(copy, warp.Index, instruction);
    }

    // Four matrices [8, 8] of 16 bits: lane 8 m + i has the address of row i of matrix m.
    private static void LoadMatrices(PtxWarp warp, uint mask, PtxInstruction instruction, bool transposed)
    {
        PtxOperations.RequireWholeWarp(instruction, mask);
        Span<uint> rows = stackalloc uint[PtxWarp.Lanes];
        for (int lane = 0; lane < PtxWarp.Lanes; lane++)
        {
            rows[lane] = (uint)warp.Address(instruction.Operands[1], lane);
            warp.Block.Shared.Read(rows[lane], 16, warp.Index, instruction);
        }
        CountPasses(warp.Block.Counts, rows, 16);
        var bytes = warp.Block.Shared.Bytes;
        for (int m = 0; m < 4; m++)
            for (int lane = 0; lane < PtxWarp.Lanes; lane++)
            {
                var (g, t) = (lane >> 2, lane & 3);
                uint first = transposed ? Element(bytes, rows[8 * m + 2 * t], g) : Element(bytes, rows[8 * m + g], 2 * t);
                uint second = transposed ? Element(bytes, rows[8 * m + 2 * t + 1], g) : Element(bytes, rows[8 * m + g], 2 * t + 1);
                warp.Registers[PtxWarp.Base(instruction.Operands[0].Elements![m]) + lane] = first | second << 16;
            }
    }

    private static uint Element(byte[] bytes, uint row, int column) => BitConverter.ToUInt16(bytes, (int)row + 2 * column);

    // 32 banks of 4 bytes; an access of 8 or 16 bytes a lane goes in halves or quarters of a warp, and equal words count once.
    private static void CountPasses(PtxCounts counts, ReadOnlySpan<uint> addresses, int bytes)
    {
        int words = Math.Max(1, bytes / 4), together = PtxWarp.Lanes / words;
        Span<uint> seen = stackalloc uint[PtxWarp.Lanes];
        Span<int> banks = stackalloc int[PtxWarp.Lanes];
        for (int i = 0; i < addresses.Length; i += together)
        {
            banks.Clear();
            int distinct = 0, worst = 1;
            foreach (uint address in addresses.Slice(i, Math.Min(together, addresses.Length - i)))
                for (uint word = address / 4; word < address / 4 + words; word++)
                {
                    if (seen[..distinct].Contains(word)) continue;
                    seen[distinct++] = word;
                    worst = Math.Max(worst, ++banks[(int)(word % 32)]);
                }
            counts.SharedPasses += worst;
            counts.IdealSharedPasses++;
        }
    }

    private static ulong Get(ReadOnlySpan<byte> bytes, bool isSigned) => bytes.Length switch
    {
        1 => bytes[0],
        2 => isSigned ? (uint)BitConverter.ToInt16(bytes) : BitConverter.ToUInt16(bytes),
        4 => BitConverter.ToUInt32(bytes),
        _ => BitConverter.ToUInt64(bytes),
    };

    private static void Put(ulong value, Span<byte> bytes)
    {
        for (int i = 0; i < bytes.Length; i++) bytes[i] = (byte)(value >> (8 * i));
    }
}
