using System.Globalization;
using System.Text.RegularExpressions;

namespace ReadTwice.Tests.Cuda;

/// <summary>Reads the PTX that clang writes: one kernel of a module, with its parameters, shared arrays and instructions.</summary>
internal sealed partial class PtxParser
{
    private readonly Dictionary<string, int> registers = [];
    private readonly Dictionary<string, int> parameters = [];
    private readonly Dictionary<string, int> shared = [];
    private readonly Dictionary<int, ulong> constants = [];
    private readonly Dictionary<int, string> specials = [];
    private readonly Dictionary<string, int> labels = [];
    private readonly List<PtxInstruction> code = [];

    /// <summary>The names of the kernels of a module.</summary>
    public static IEnumerable<string> Kernels(string text) => EntryPattern().Matches(text).Select(match => match.Groups[1].Value);

    /// <summary>One kernel; an instruction that is not known is an error here, before anything runs.</summary>
    public static PtxKernel Parse(string text, string kernel) => new PtxParser().Read(CommentPattern().Replace(text, ""), kernel);

    private PtxKernel Read(string text, string kernel)
    {
        int entry = EntryPattern().Matches(text).FirstOrDefault(match => match.Groups[1].Value == kernel)?.Index
            ?? throw new PtxException($"there is no kernel {kernel}; the module has {string.Join(", ", Kernels(text))}");
        int open = text.IndexOf('(', entry), close = text.IndexOf(')', open), body = text.IndexOf('{', close);
        int parameterBytes = 0;
        foreach (Match match in ParameterPattern().Matches(text[open..close]))
        {
            int bytes = match.Groups[4].Success ? Number(match.Groups[4]) : TypeBytes(match.Groups[2].Value);
            parameterBytes = Align(parameterBytes, match.Groups[1].Success ? Number(match.Groups[1]) : bytes);
            parameters[match.Groups[3].Value] = parameterBytes;
            parameterBytes += bytes;
        }
        int sharedBytes = 0;
        foreach (Match match in SharedPattern().Matches(text))
        {
            bool isDynamic = !match.Groups[3].Success;   // its size is known at the launch: it comes last
            if (isDynamic) continue;
            sharedBytes = Align(sharedBytes, Number(match.Groups[1]));
            shared[match.Groups[2].Value] = sharedBytes;
            sharedBytes += Number(match.Groups[3]);
        }
        foreach (Match match in SharedPattern().Matches(text))
            if (!match.Groups[3].Success) shared[match.Groups[2].Value] = sharedBytes = Align(sharedBytes, Number(match.Groups[1]));

        Body(text, body + 1);
        foreach (var instruction in code)
        {
            if (instruction.Label is { } label) instruction.Target = labels[label];
            instruction.Execute = PtxOperations.Bind(instruction);
        }
        var threads = ThreadsPattern().Match(text[close..body]);
        return new()
        {
            Name = kernel,
            Code = [.. code],
            Registers = registers.Count,
            ParameterBytes = parameterBytes,
            SharedBytes = sharedBytes,
            MaxThreads = threads.Success ? Number(threads.Groups[1]) : 1024,
            Constants = constants,
            Specials = specials,
        };
    }

    // Statements end with ';', labels with ':'; braces belong to vectors of registers, or to inline assembly's own scopes.
    private void Body(string text, int start)
    {
        int line = text.AsSpan(0, start).Count('\n') + 1;
        int from = start, depth = 1;
        for (int i = start; depth > 0; i++)
        {
            char c = text[i];
            string statement = text[from..i].Trim();
            if (c == '{') depth++;
            if (c == '}' && --depth == 0) break;
            bool isWhole = c is ';' or ':' && depth == 1;
            if (isWhole && c == ':') labels[statement] = code.Count;
            if (isWhole && c == ';') Statement(statement, line);
            if (isWhole) from = i + 1;
            if (c == '\n') line++;
        }
    }

    private void Statement(string text, int line)
    {
        if (DirectivePattern().IsMatch(text)) return;
        int guard = -1;
        bool negated = false;
        var guardMatch = GuardPattern().Match(text);
        if (guardMatch.Success)
        {
            (guard, negated) = (Register(guardMatch.Groups[2].Value), guardMatch.Groups[1].Value == "!");
            text = text[guardMatch.Length..];
        }
        int space = text.IndexOfAny([' ', '\t']);
        string opcode = space < 0 ? text : text[..space], rest = space < 0 ? "" : text[space..].Trim();
        var kind = opcode.Split('.')[0] switch
        {
            _ when opcode == "bar.warp.sync" => PtxInstructionKind.WarpBarrier,
            "bra" => PtxInstructionKind.Branch,
            "ret" or "exit" => PtxInstructionKind.Exit,
            "bar" or "barrier" => PtxInstructionKind.Barrier,
            _ => PtxInstructionKind.Ordinary,
        };
        code.Add(new()
        {
            Opcode = opcode,
            Line = line,
            Kind = kind,
            Guard = guard,
            GuardNegated = negated,
            Label = kind == PtxInstructionKind.Branch ? rest : null,
            Operands = kind == PtxInstructionKind.Ordinary ? [.. Split(rest).Select(Operand)] : [],
        });
    }

    private PtxOperand Operand(string text)
    {
        if (text[0] == '{') return new(-1, 0, [.. Split(text[1..^1]).Select(Operand)]);
        if (text[0] == '[')
        {
            var match = AddressPattern().Match(text);
            if (!match.Success) throw new PtxException($"the address {text} is not understood");
            return new(Register(match.Groups[1].Value), match.Groups[2].Success ? long.Parse(match.Groups[2].Value) : 0);
        }
        return new(Register(text));
    }

    // Whatever names a value has a register: a real one, or one that is filled before the kernel starts.
    private int Register(string name)
    {
        if (registers.TryGetValue(name, out int register)) return register;
        registers[name] = register = registers.Count;
        if (SpecialPattern().IsMatch(name)) specials[register] = name;
        else if (parameters.TryGetValue(name, out int offset) || shared.TryGetValue(name, out offset)) constants[register] = (ulong)offset;
        else if (name[0] != '%') constants[register] = Constant(name);
        return register;
    }

    private static ulong Constant(string text)
    {
        if (text.StartsWith("0f") || text.StartsWith("0d") || text.StartsWith("0x") || text.StartsWith("0F"))
            return ulong.Parse(text[2..], NumberStyles.HexNumber);
        if (text.Length > 1 && text[0] == '-') return (ulong)long.Parse(text);
        return ulong.TryParse(text, out ulong value) ? value : throw new PtxException($"{text} is neither a register, a number nor a symbol");
    }

    private static List<string> Split(string text)
    {
        var parts = new List<string>();
        int depth = 0, from = 0;
        for (int i = 0; i <= text.Length; i++)
        {
            if (i < text.Length && text[i] is '{' or '[') depth++;
            if (i < text.Length && text[i] is '}' or ']') depth--;
            if (i < text.Length && (text[i] != ',' || depth > 0)) continue;
            if (text[from..i].Trim() is { Length: > 0 } part) parts.Add(part);
            from = i + 1;
        }
        return parts;
    }

    internal static int TypeBytes(string type) => type == "pred" ? 1 : int.Parse(DigitsPattern().Match(type).Value) / 8;

    private static int Number(Group group) => int.Parse(group.Value);

    private static int Align(int value, int to) => (value + to - 1) / to * to;

    [GeneratedRegex(@"\d+")]
    private static partial Regex DigitsPattern();

    [GeneratedRegex(@"//[^\n]*")]
    private static partial Regex CommentPattern();

    [GeneratedRegex(@"\.entry\s+(\w+)")]
    private static partial Regex EntryPattern();

    [GeneratedRegex(@"\.param\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+(\w+)(?:\[(\d+)\])?")]
    private static partial Regex ParameterPattern();

    [GeneratedRegex(@"\.shared\s+\.align\s+(\d+)\s+\.b8\s+([\w$]+)\[(\d+)?\]")]
    private static partial Regex SharedPattern();

    [GeneratedRegex(@"\.maxntid\s+(\d+)")]
    private static partial Regex ThreadsPattern();

    [GeneratedRegex(@"^\.(reg|loc|pragma|file|shared)\b")]
    private static partial Regex DirectivePattern();

    [GeneratedRegex(@"^@(!?)(%\w+)\s+")]
    private static partial Regex GuardPattern();

    [GeneratedRegex(@"^\[\s*([%$\w\.]+)\s*(?:\+\s*(-?\d+))?\s*\]$")]
    private static partial Regex AddressPattern();

    [GeneratedRegex(@"^%(tid|ntid|ctaid|nctaid)\.[xyz]$|^%laneid$")]
    private static partial Regex SpecialPattern();
}
