namespace ReadTwice.Tests.Cuda;

/// <summary>A kernel that does what hardware would not define, or PTX that is not understood.</summary>
internal sealed class PtxException(string message) : Exception(message);

/// <summary>An operand: a register, a vector of them, or an address of a register plus an offset.</summary>
/// <remarks>Constants, special registers and symbols have registers of their own, filled before the kernel starts.</remarks>
internal sealed record PtxOperand(int Register, long Offset = 0, PtxOperand[]? Elements = null);

/// <summary>One instruction, and what executes it for the lanes of a mask.</summary>
internal sealed class PtxInstruction
{
    public required string Opcode { get; init; }
    public required PtxOperand[] Operands { get; init; }
    public required int Line { get; init; }
    public int Guard { get; init; } = -1;
    public bool GuardNegated { get; init; }
    public string? Label { get; init; }
    public int Target { get; set; } = -1;
    public Action<PtxWarp, uint> Execute { get; set; } = (_, _) => { };

    public string Base => Opcode.Split('.')[0];
    public string[] Modifiers => Opcode.Split('.')[1..];
    public string Type => Modifiers.LastOrDefault() ?? "";
    public PtxInstructionKind Kind { get; init; }

    public PtxException Error(string problem) => new($"line {Line}, {Opcode}: {problem}");
}

/// <summary>What moves the program counter, and the rest.</summary>
internal enum PtxInstructionKind { Ordinary, Branch, Exit, Barrier, WarpBarrier }

/// <summary>One kernel of a module.</summary>
internal sealed class PtxKernel
{
    public required string Name { get; init; }
    public required PtxInstruction[] Code { get; init; }
    public required int Registers { get; init; }
    public required int ParameterBytes { get; init; }
    public required int SharedBytes { get; init; }
    public required int MaxThreads { get; init; }

    /// <summary>Registers that hold the same number in every lane, all the time.</summary>
    public required IReadOnlyDictionary<int, ulong> Constants { get; init; }

    /// <summary>Registers that tell a lane where it is: %tid.x and the like.</summary>
    public required IReadOnlyDictionary<int, string> Specials { get; init; }

    /// <summary>The kernel with an instruction replaced by one that does nothing.</summary>
    public PtxKernel Without(PtxInstruction dropped) => new()
    {
        Name = Name,
        Registers = Registers,
        ParameterBytes = ParameterBytes,
        SharedBytes = SharedBytes,
        MaxThreads = MaxThreads,
        Constants = Constants,
        Specials = Specials,
        Code = [.. Code.Select(instruction => instruction != dropped
            ? instruction
            : new PtxInstruction { Opcode = "nop", Operands = [], Line = dropped.Line })],
    };
}
