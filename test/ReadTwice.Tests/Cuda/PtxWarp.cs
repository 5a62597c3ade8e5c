using System.Buffers;
using System.Numerics;

namespace ReadTwice.Tests.Cuda;

/// <summary>32 lanes in step: of those that have not ended, the ones at the lowest instruction execute it.</summary>
internal sealed class PtxWarp
{
    public const int Lanes = 32;
    public const uint All = uint.MaxValue;
    private readonly int[] counters = new int[Lanes];
    private uint alive, waiting;   // waiting: at a barrier of the warp

    public PtxWarp(PtxBlock block, int index, int threads)
    {
        (Block, Index) = (block, index);
        int lanes = Math.Min(Lanes, threads - index * Lanes);
        alive = lanes == Lanes ? All : (1u << lanes) - 1;
        // Megabytes a warp: made anew for each, they would keep the garbage collector busy and nothing else running.
        Registers = ArrayPool<ulong>.Shared.Rent(block.Kernel.Registers * Lanes);
        Registers.AsSpan().Clear();
        foreach (var (register, value) in block.Kernel.Constants) Registers.AsSpan(register * Lanes, Lanes).Fill(value);
        foreach (var (register, name) in block.Kernel.Specials)
            for (int lane = 0; lane < Lanes; lane++)
                Registers[register * Lanes + lane] = name == "%tid.x" ? (ulong)(index * Lanes + lane) : name == "%laneid" ? (ulong)lane : block.Special(name);
    }

    public PtxBlock Block { get; }
    public int Index { get; }

    /// <summary>[register, lane]; a predicate is 0 or 1, a narrow value has zeros above.</summary>
    public ulong[] Registers { get; }

    /// <summary>Copies from global to shared memory that were started: closed groups, oldest first, and the open one.</summary>
    public Queue<List<PtxCopy>> Groups { get; } = new();
    public List<PtxCopy> OpenGroup { get; set; } = [];

    /// <summary>Gives the registers back; the warp has ended.</summary>
    public void Release() => ArrayPool<ulong>.Shared.Return(Registers);

    public bool HasEnded => alive == 0;
    public bool IsAtBarrier { get; set; }

    public static int Base(PtxOperand operand) => operand.Register * Lanes;

    public ulong Address(PtxOperand operand, int lane) => Registers[operand.Register * Lanes + lane] + (ulong)operand.Offset;

    /// <summary>Executes up to the next barrier, or to the end.</summary>
    public void Run()
    {
        var code = Block.Kernel.Code;
        while (alive != 0)
        {
            int at = int.MaxValue;
            uint here = 0;
            for (uint rest = alive & ~waiting; rest != 0; rest &= rest - 1)
            {
                int lane = BitOperations.TrailingZeroCount(rest);
                if (counters[lane] > at) continue;
                if (counters[lane] < at) (at, here) = (counters[lane], 0);
                here |= 1u << lane;
            }
            // While all lanes stand at one instruction, which is nearly always, there is nothing to search.
            bool together = here == alive;
            while (true)
            {
                var instruction = code[at];
                uint mask = instruction.Guard < 0 ? here : Guarded(instruction, here);
                Block.Counts.Instructions[at]++;
                if (instruction.Kind == PtxInstructionKind.Ordinary)
                {
                    if (mask != 0) instruction.Execute(this, mask);
                    at++;
                    if (together) continue;
                    Move(here, at);
                    break;
                }
                Move(here, at + 1);
                if (instruction.Kind == PtxInstructionKind.Exit) alive &= ~mask;
                if (instruction.Kind == PtxInstructionKind.Branch) Move(mask, instruction.Target);
                if (instruction.Kind == PtxInstructionKind.WarpBarrier) waiting |= mask;
                if ((waiting & alive) == alive) waiting = 0;
                if (instruction.Kind != PtxInstructionKind.Barrier) break;
                if (mask != alive) throw instruction.Error($"only a part of warp {Index} comes to the barrier");
                IsAtBarrier = true;
                return;
            }
        }
    }

    private void Move(uint lanes, int to)
    {
        for (; lanes != 0; lanes &= lanes - 1) counters[BitOperations.TrailingZeroCount(lanes)] = to;
    }

    private uint Guarded(PtxInstruction instruction, uint mask)
    {
        uint guarded = 0;
        int predicate = instruction.Guard * Lanes;
        for (int lane = 0; lane < Lanes; lane++)
            if (Registers[predicate + lane] != 0 != instruction.GuardNegated) guarded |= 1u << lane;
        return guarded & mask;
    }
}

/// <summary>Bytes on their way to shared memory.</summary>
internal readonly record struct PtxCopy(uint To, UInt128 Data);
