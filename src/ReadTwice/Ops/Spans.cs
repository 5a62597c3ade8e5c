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

    /// <summary>Lets outputs that are not used come back without a gradient.</summary>
    /// <remarks>Else TorchSharp keeps a tensor like each output to make zeros of, which the caller's dispose scope frees too early.</remarks>
    public static void LeaveUnusedGradients(autograd.AutogradContext context) => context.set_materialize_grads(false);

    /// <summary>The gradient of an output, contiguous; where it has none, zeros like a tensor of its shape.</summary>
    public static Tensor GradientOr(Tensor gradient, Tensor like) => gradient is { IsInvalid: false } ? gradient.contiguous() : zeros_like(like);

    /// <summary>A contiguous tensor's numbers; none where it is null. Keep the tensor alive meanwhile.</summary>
    public static unsafe In In(Tensor? tensor) => tensor is null ? default : new(TensorMemory.Pointer(tensor), (int)tensor.numel());

    /// <summary>The same, to be written.</summary>
    public static unsafe Ref Ref(Tensor? tensor) => tensor is null ? default : new(TensorMemory.Pointer(tensor), (int)tensor.numel());

    /// <summary>The tensor where it is contiguous, else a copy.</summary>
    public static Tensor Contiguous(Tensor tensor) => tensor.is_contiguous() ? tensor : tensor.contiguous();

    /// <summary>Whether two tensors have the same shape.</summary>
    public static bool Alike(Tensor a, Tensor b)
    {
        if (a.dim() != b.dim()) return false;
        for (int axis = 0; axis < a.dim(); axis++)
            if (a.size(axis) != b.size(axis)) return false;
        return true;
    }

    /// <summary>The tensor, or a copy where its rows, which are its last axis, do not lie whole and equally far apart.</summary>
    /// <param name="tensor">[.., n].</param>
    /// <param name="stride">How many numbers after the row before each row starts.</param>
    public static Tensor Rows(Tensor tensor, out int stride)
    {
        int last = (int)tensor.dim() - 1;
        long columns = tensor.size(last), apart = columns, rows = 1;
        bool even = columns == 1 || tensor.stride(last) == 1;
        for (int axis = last - 1; axis >= 0; axis--)
        {
            long size = tensor.size(axis);
            if (size == 1) continue;
            if (rows == 1) apart = tensor.stride(axis);
            else even &= tensor.stride(axis) == rows * apart;
            rows *= size;
        }
        even &= apart >= columns && (rows - 1) * apart + columns <= int.MaxValue;
        stride = (int)(even ? apart : columns);
        return even ? tensor : tensor.contiguous();
    }

    /// <summary>The numbers from the first row to the last, with what lies between them; none where the tensor is null. Keep it alive meanwhile.</summary>
    public static unsafe In InRows(Tensor? rows, int stride)
    {
        if (rows is null) return default;
        int columns = (int)rows.size(-1);
        return new(TensorMemory.Pointer(rows), ((int)(rows.numel() / columns) - 1) * stride + columns);
    }
}
