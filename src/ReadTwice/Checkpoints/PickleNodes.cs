namespace ReadTwice.Checkpoints;

/// <summary>A dictionary as it was filled: a key may come twice, and the last counts.</summary>
/// <remarks>
/// The other things a pickle is read into are null, bool, long, double, string, a List for lists and sets, an array for
/// tuples, and byte[] for bytes and for whole numbers over 64 bits.
/// </remarks>
internal sealed class PickleDictionary
{
    public List<(object? Key, object? Value)> Items { get; } = [];

    /// <summary>The value of a text key.</summary>
    public object? Find(string key) => Items.LastOrDefault(item => item.Key is string text && text == key).Value;
}

/// <summary>Numbers in a row that tensors share: its name, and how many elements it has; bytes where the type is left open.</summary>
internal sealed record PickleStorage(string Key, StoredType? Type, long Length)
{
    public int ElementSize => Type?.Size() ?? 1;
}

/// <summary>A view of a storage, in elements; nothing of it has been checked against the storage yet.</summary>
internal sealed record PickleTensor(PickleStorage Storage, StoredType Type, long Offset, long[] Shape, long[] Strides);

/// <summary>A type of storage, null for bytes whose type the tensor gives.</summary>
internal sealed record PickleStorageType(StoredType? Type);

/// <summary>The only functions that a pickle may call, all of them ours.</summary>
internal enum PickleCall
{
    OrderedDict,
    Tensor,
    TensorOfType,
    Parameter,
}

/// <summary>The only names of Python's that a checkpoint may speak of.</summary>
internal static class PickleGlobals
{
    private static readonly Dictionary<string, object> known = new(StringComparer.Ordinal)
    {
        ["collections.OrderedDict"] = PickleCall.OrderedDict,
        ["torch._utils._rebuild_tensor_v2"] = PickleCall.Tensor,
        ["torch._utils._rebuild_tensor_v3"] = PickleCall.TensorOfType,
        ["torch._utils._rebuild_parameter"] = PickleCall.Parameter,
        ["torch.DoubleStorage"] = new PickleStorageType(StoredType.F64),
        ["torch.FloatStorage"] = new PickleStorageType(StoredType.F32),
        ["torch.HalfStorage"] = new PickleStorageType(StoredType.F16),
        ["torch.BFloat16Storage"] = new PickleStorageType(StoredType.BF16),
        ["torch.LongStorage"] = new PickleStorageType(StoredType.I64),
        ["torch.IntStorage"] = new PickleStorageType(StoredType.I32),
        ["torch.ShortStorage"] = new PickleStorageType(StoredType.I16),
        ["torch.CharStorage"] = new PickleStorageType(StoredType.I8),
        ["torch.ByteStorage"] = new PickleStorageType(StoredType.U8),
        ["torch.BoolStorage"] = new PickleStorageType(StoredType.Bool),
        ["torch.storage.UntypedStorage"] = new PickleStorageType(null),
        ["torch.float64"] = StoredType.F64,
        ["torch.float32"] = StoredType.F32,
        ["torch.float16"] = StoredType.F16,
        ["torch.bfloat16"] = StoredType.BF16,
        ["torch.int64"] = StoredType.I64,
        ["torch.int32"] = StoredType.I32,
        ["torch.int16"] = StoredType.I16,
        ["torch.int8"] = StoredType.I8,
        ["torch.uint8"] = StoredType.U8,
        ["torch.bool"] = StoredType.Bool,
    };

    public static object? Find(string name) => known.GetValueOrDefault(name);
}
