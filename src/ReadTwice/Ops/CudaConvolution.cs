using ReadTwice.Kernels.Cuda;
using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>The gated short convolution by our kernel for CUDA, on tensors.</summary>
internal static class CudaConvolution
{
    /// <summary>As <see cref="Ops.GatedConvolution"/>, with inputs and outputs rounded to bfloat16.</summary>
    public static (Tensor Y, Tensor State) Filter(ICudaDevice device, Tensor uw, Tensor weight, Tensor? bias, Tensor state)
    {
        using var scope = NewDisposeScope();
        var type = uw.dtype;
        long B = uw.size(0), T = uw.size(1), C = weight.size(0), taps = weight.size(2);
        var x = TensorMemory.Aligned(uw, ScalarType.BFloat16);
        var (w, before) = (TensorMemory.Aligned(weight.detach(), ScalarType.Float32), TensorMemory.Aligned(state, ScalarType.Float32));
        var b = bias is null ? null : TensorMemory.Aligned(bias.detach(), ScalarType.Float32);
        var (y, after) = (empty([B, T, C], x.dtype, x.device), empty_like(before));
        CudaGatedConvolution.Forward(
            device, (int)B, (int)T, (int)C, (int)taps, TensorMemory.Memory(x), TensorMemory.Memory(w), TensorMemory.Memory(b),
            TensorMemory.Memory(before), TensorMemory.Memory(after), TensorMemory.Memory(y));
        GC.KeepAlive((x, w, b, before));
        return (y.to(type).MoveToOuterDisposeScope(), after.MoveToOuterDisposeScope());
    }
}
