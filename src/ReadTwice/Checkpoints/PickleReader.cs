using System.Buffers.Binary;
using System.Text;

namespace ReadTwice.Checkpoints;

/// <summary>Reads a pickle as data: Python would run what it says, here it makes texts, numbers, lists and tensors.</summary>
/// <remarks>
/// What it costs grows with the pickle's length and nothing else: an instruction makes one object, and no object is walked.
/// Whatever cannot be read throws <see cref="InvalidDataException"/>.
/// </remarks>
internal ref struct PickleReader(string file, ReadOnlySpan<byte> pickle)
{
    /// <summary>No honest checkpoint has so much beside its tensors' numbers.</summary>
    public const int Largest = 64 << 20;

    private const int NewestProtocol = 5;

    private readonly ReadOnlySpan<byte> pickle = pickle;
    private readonly List<object?> stack = [];
    private readonly Stack<int> marks = [];
    private readonly Dictionary<long, object?> memo = [];

    /// <summary>How many bytes have been read.</summary>
    public int Position { get; private set; }

    /// <summary>The storages that the pickle speaks of.</summary>
    public Dictionary<string, PickleStorage> Storages { get; } = new(StringComparer.Ordinal);

    private readonly int Floor => marks.TryPeek(out int mark) ? mark : 0;

    /// <summary>The object that the pickle holds.</summary>
    public object? Read()
    {
        while (true)
        {
            var op = (PickleOp)Byte();
            if (op == PickleOp.Stop) return Pop();
            if (!Value(op) && !Container(op) && !Memory(op) && !Call(op))
                throw Bad($"the pickle uses instruction 0x{(byte)op:x2}, which tensors do not need. {PyTorchReader.SaveAgain}");
        }
    }

    private bool Value(PickleOp op)
    {
        switch (op)
        {
            case PickleOp.None: stack.Add(null); break;
            case PickleOp.NewTrue: stack.Add(true); break;
            case PickleOp.NewFalse: stack.Add(false); break;
            case PickleOp.BinInt: stack.Add((long)BinaryPrimitives.ReadInt32LittleEndian(Take(4))); break;
            case PickleOp.BinInt1: stack.Add((long)Byte()); break;
            case PickleOp.BinInt2: stack.Add((long)BinaryPrimitives.ReadUInt16LittleEndian(Take(2))); break;
            case PickleOp.Long1: stack.Add(Whole(Take(Byte()))); break;
            case PickleOp.Long4: stack.Add(Whole(Take(UInt32()))); break;
            case PickleOp.BinFloat: stack.Add(BinaryPrimitives.ReadDoubleBigEndian(Take(8))); break;
            case PickleOp.ShortBinUnicode or PickleOp.ShortBinString: stack.Add(Text(Take(Byte()))); break;
            case PickleOp.BinUnicode or PickleOp.BinString: stack.Add(Text(Take(UInt32()))); break;
            case PickleOp.BinUnicode8: stack.Add(Text(Take(UInt64()))); break;
            case PickleOp.ShortBinBytes: stack.Add(Take(Byte()).ToArray()); break;
            case PickleOp.BinBytes: stack.Add(Take(UInt32()).ToArray()); break;
            case PickleOp.BinBytes8 or PickleOp.ByteArray8: stack.Add(Take(UInt64()).ToArray()); break;
            default: return false;
        }
        return true;
    }

    private bool Container(PickleOp op)
    {
        switch (op)
        {
            case PickleOp.Mark: marks.Push(stack.Count); break;
            case PickleOp.Pop when marks.TryPeek(out int mark) && mark == stack.Count: marks.Pop(); break;
            case PickleOp.Pop: Pop(); break;
            case PickleOp.PopMark: PopToMark(); break;
            case PickleOp.Dup: stack.Add(Top<object>("anything")); break;
            case PickleOp.EmptyTuple: stack.Add(Array.Empty<object?>()); break;
            case PickleOp.Tuple: stack.Add(PopToMark()); break;
            case PickleOp.Tuple1: stack.Add(PopMany(1)); break;
            case PickleOp.Tuple2: stack.Add(PopMany(2)); break;
            case PickleOp.Tuple3: stack.Add(PopMany(3)); break;
            case PickleOp.EmptyList or PickleOp.EmptySet: stack.Add(new List<object?>()); break;
            case PickleOp.List or PickleOp.FrozenSet: stack.Add(new List<object?>(PopToMark())); break;
            case PickleOp.Append: AddTo(PopMany(1)); break;
            case PickleOp.Appends or PickleOp.AddItems: AddTo(PopToMark()); break;
            case PickleOp.EmptyDict: stack.Add(new PickleDictionary()); break;
            case PickleOp.Dict: Fill(new PickleDictionary(), PopToMark()); break;
            case PickleOp.SetItem: Fill(PopMany(2)); break;
            case PickleOp.SetItems: Fill(PopToMark()); break;
            default: return false;
        }
        return true;
    }

    private bool Memory(PickleOp op)
    {
        switch (op)
        {
            case PickleOp.Proto:
                int protocol = Byte();
                if (protocol > NewestProtocol)
                    throw Bad($"the pickle is of protocol {protocol}; 2 to {NewestProtocol} are read");
                break;
            case PickleOp.Frame: Take(8); break;
            case PickleOp.BinPut: memo[Byte()] = Top<object>("anything"); break;
            case PickleOp.LongBinPut: memo[UInt32()] = Top<object>("anything"); break;
            case PickleOp.Memoize: memo[memo.Count] = Top<object>("anything"); break;
            case PickleOp.BinGet: stack.Add(Remembered(Byte())); break;
            case PickleOp.LongBinGet: stack.Add(Remembered(UInt32())); break;
            default: return false;
        }
        return true;
    }

    private bool Call(PickleOp op)
    {
        switch (op)
        {
            case PickleOp.Global: stack.Add(Named(Line(), Line())); break;
            case PickleOp.StackGlobal:
                object?[] names = PopMany(2);
                stack.Add(Named(names[0] as string ?? "?", names[1] as string ?? "?"));
                break;
            case PickleOp.BinPersId: stack.Add(Storage(Pop())); break;
            case PickleOp.Reduce:
                object?[] call = PopMany(2);
                if (call[1] is not object?[] arguments) throw Bad("the pickle calls a function with what is no tuple; download it again");
                stack.Add(Call(call[0], arguments));
                break;
            // What is set on a dictionary, as PyTorch does to say which version a layer is of, is not needed.
            case PickleOp.Build: Pop(); Top<PickleDictionary>("a dictionary"); break;
            default: return false;
        }
        return true;
    }

    private readonly object Named(string module, string name) => PickleGlobals.Find($"{module}.{name}") ?? throw Bad(
        $"the file refers to {OneLine.Of($"{module}.{name}")}; only tensors are read, a checkpoint never runs code. " +
        PyTorchReader.SaveAgain);

    private PickleStorage Storage(object? id)
    {
        if (id is not object?[] parts || parts is not ["storage", PickleStorageType type, string key, _, long length, ..] ||
            length < 0 || parts.Length > 5 && parts[5] is not null)
            throw Bad("the pickle refers to something that is no storage of numbers; download the file again");
        var storage = new PickleStorage(key, type.Type, length);
        Storages[key] = storage;
        return storage;
    }

    private readonly object Call(object? function, object?[] arguments) => (function, arguments) switch
    {
        (PickleCall.OrderedDict, []) => new PickleDictionary(),
        (PickleCall.Parameter, [PickleTensor tensor, ..]) => tensor,
        (PickleCall.Tensor, [PickleStorage { Type: { } type } storage, long offset, object?[] shape, object?[] strides, ..]) =>
            new PickleTensor(storage, type, offset, Sizes(shape), Sizes(strides)),
        (PickleCall.TensorOfType, [PickleStorage storage, long offset, object?[] shape, object?[] strides, _, _, StoredType type, ..]) =>
            new PickleTensor(storage, type, offset, Sizes(shape), Sizes(strides)),
        (PickleCall call, _) => throw Bad($"the pickle calls {call} with arguments that do not fit. {PyTorchReader.SaveAgain}"),
        _ => throw Bad($"the pickle calls what is no function. {PyTorchReader.SaveAgain}"),
    };

    private readonly long[] Sizes(object?[] tuple)
    {
        if (tuple.Length > TensorLayout.MostAxes)
            throw Bad($"a tensor has {tuple.Length} axes; at most {TensorLayout.MostAxes} are possible");
        long[] sizes = new long[tuple.Length];
        for (int i = 0; i < sizes.Length; i++)
            sizes[i] = tuple[i] is long size and >= 0 ? size : throw Bad("a tensor has a size or stride that is no whole number from 0");
        return sizes;
    }

    private readonly void AddTo(object?[] items) => Top<List<object?>>("a list").AddRange(items);

    private readonly void Fill(object?[] items) => Fill(Top<PickleDictionary>("a dictionary"), items, push: false);

    private readonly void Fill(PickleDictionary dictionary, object?[] items, bool push = true)
    {
        if (items.Length % 2 != 0) throw Bad("the pickle gives a dictionary a key without a value; download the file again");
        for (int i = 0; i < items.Length; i += 2) dictionary.Items.Add((items[i], items[i + 1]));
        if (push) stack.Add(dictionary);
    }

    private readonly object? Remembered(long index) =>
        memo.TryGetValue(index, out object? value)
            ? value : throw Bad($"the pickle uses object {index} before it is there; download the file again");

    private readonly T Top<T>(string need) => stack.Count > Floor && stack[^1] is T top
        ? top : throw Bad($"the pickle needs {need} where there is none; download the file again");

    private readonly object? Pop() => PopMany(1)[0];

    private readonly object?[] PopMany(int count)
    {
        if (stack.Count - count < Floor) throw Bad("the pickle uses more objects than it has made; download the file again");
        object?[] items = [.. stack[^count..]];
        stack.RemoveRange(stack.Count - count, count);
        return items;
    }

    private readonly object?[] PopToMark()
    {
        if (marks.Count == 0) throw Bad("the pickle ends a list that it has not begun; download the file again");
        object?[] items = PopMany(stack.Count - Floor);
        marks.Pop();
        return items;
    }

    private byte Byte() => Take(1)[0];

    private uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(4));

    private ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(8));

    private string Line()
    {
        int length = pickle[Position..].IndexOf((byte)'\n');
        if (length < 0) throw Bad("the pickle ends in the middle of a name; download the file again");
        return Text(Take((ulong)length + 1)[..length]);
    }

    private ReadOnlySpan<byte> Take(ulong count)
    {
        if (count > (ulong)(pickle.Length - Position))
            throw Bad($"the pickle ends after {pickle.Length} bytes, {count} more are needed at {Position}; it is cut short, " +
                "download the file again");
        var taken = pickle.Slice(Position, (int)count);
        Position += (int)count;
        return taken;
    }

    private static string Text(ReadOnlySpan<byte> bytes) => Encoding.UTF8.GetString(bytes);

    // Two's complement, little-endian, as short as may be; no size or count takes more than 64 bits.
    private static object Whole(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > sizeof(long)) return bytes.ToArray();
        long value = bytes.Length > 0 && (bytes[^1] & 0x80) != 0 ? -1 : 0;
        for (int i = bytes.Length - 1; i >= 0; i--) value = value << 8 | bytes[i];
        return value;
    }

    private readonly InvalidDataException Bad(string what) => new($"{file}: {what}.");
}
