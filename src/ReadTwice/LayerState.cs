using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>What one layer remembers: float32 tensors by name, owned here and outside every dispose scope.</summary>
public sealed class LayerState : IDisposable
{
    private readonly SortedDictionary<string, Tensor> tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Tensor> buffers = new(StringComparer.Ordinal);

    /// <summary>The tensors' names, in ordinal order.</summary>
    public IReadOnlyCollection<string> Names => tensors.Keys;

    /// <summary>A tensor of the state; assigning takes it over and disposes the one that was there.</summary>
    public Tensor this[string name]
    {
        get => tensors[name];
        set
        {
            tensors.TryGetValue(name, out var old);
            tensors[name] = value.DetachFromDisposeScope();
            if (old is not null && !ReferenceEquals(old, value)) old.Dispose();
        }
    }

    /// <summary>The size of all tensors in bytes.</summary>
    public long Bytes => tensors.Values.Sum(tensor => tensor.numel() * tensor.element_size());

    /// <summary>Adds a piece at the end of a tensor's axis, in memory that grows by doubling, and gives the whole.</summary>
    /// <remarks>For what grows with the text: the keys and values of softmax attention.</remarks>
    public Tensor Append(string name, Tensor piece, long axis)
    {
        using var scope = NewDisposeScope();
        var old = tensors[name];
        if (is_grad_enabled() && (old.requires_grad || piece.requires_grad)) return this[name] = cat([old, piece], axis);

        long used = old.size((int)axis), length = used + piece.size((int)axis);
        buffers.TryGetValue(name, out var buffer);
        if (buffer is null || buffer.size((int)axis) < length)
        {
            long[] shape = piece.shape;
            shape[axis] = used == 0 ? length : Math.Max(length, used * 2);
            var larger = empty(shape, piece.dtype, piece.device);
            larger.narrow(axis, 0, used).copy_(old);
            buffers[name] = larger.DetachFromDisposeScope();
            buffer?.Dispose();
            buffer = larger;
        }
        buffer.narrow(axis, used, length - used).copy_(piece);
        return this[name] = buffer.narrow(axis, 0, length);
    }

    /// <summary>Moves every tensor to a device, and gives this state.</summary>
    public LayerState MoveTo(Device device)
    {
        foreach (string name in Names.ToList())
            if (tensors[name].device_type != device.type) this[name] = tensors[name].to(device);
        return this;
    }

    /// <summary>A copy that shares nothing with this one.</summary>
    public LayerState Clone()
    {
        var copy = new LayerState();
        foreach (var (name, tensor) in tensors) copy[name] = tensor.contiguous().clone();
        return copy;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var tensor in tensors.Values.Concat(buffers.Values)) tensor.Dispose();
        tensors.Clear();
        buffers.Clear();
    }
}
