using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>The memory of tensors as kernels take it.</summary>
internal static class Spans
{
    /// <summary>Whether our own kernels can compute with these tensors where they lie.</summary>
    public static bool Fit(params ReadOnlySpan<Tensor?> tensors)
    {
        foreach (var tensor in tensors)
            if (tensor is not null && (tensor.dtype != ScalarType.Float32 || tensor.device_type != DeviceType.CPU || tensor.numel() > int.MaxValue)) return false;
        return true;
    }

    /// <summary>Whether a gradient will be asked for through one of these.</summary>
    public static bool Learn(params ReadOnlySpan<Tensor?> tensors)
    {
        if (!is_grad_enabled()) return false;
        foreach (var tensor in tensors)
            if (tensor is { requires_grad: true }) return true;
        return false;
    }

    /// <summary>A contiguous tensor's numbers; none where it is null. Keep the tensor alive meanwhile.</summary>
    public static unsafe In In(Tensor? tensor) => tensor is null ? default : new(TensorMemory.Pointer(tensor), (int)tensor.numel());

    /// <summary>The same, to be written.</summary>
    public static unsafe Ref Ref(Tensor? tensor) => tensor is null ? default : new(TensorMemory.Pointer(tensor), (int)tensor.numel());
}
