using ReadTwice.Checkpoints;
using ReadTwice.Kernels;
using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>The packed copy of a layer's weight, made when it is first needed and anew when the weight was written to since.</summary>
/// <remarks>
/// Owned by the layer and disposed with it. libtorch counts how often a tensor was written to, through whichever of its views;
/// where it does not tell, only what is to be quantized is packed, and once. Weights that lie in a mapped file leave memory once they are packed.
/// </remarks>
internal sealed class PackedWeight(Quantization quantization = Quantization.None) : IDisposable
{
    private readonly Lock gate = new();
    private PackedMatrix? matrix;
    private Tensor? source;
    private long version;

    /// <summary>The size of the packed copy, in bytes; 0 where there is none.</summary>
    public long Bytes => matrix?.Bytes ?? 0;

    /// <summary>The weight [N, K] as it is now, packed; null where it cannot be.</summary>
    public PackedMatrix? Of(Tensor weight)
    {
        if (weight.dtype is not (ScalarType.Float32 or ScalarType.BFloat16) || weight.device_type != DeviceType.CPU ||
            weight.numel() is 0 or > int.MaxValue || (TensorMemory.Version(weight) ?? (IsQuantized ? 0 : null)) is not { } now) return null;
        lock (gate)
        {
            if (matrix is not null && ReferenceEquals(source, weight) && version == now) return matrix;
            matrix?.Dispose();
            matrix = Pack(weight);
            (source, version) = (weight, now);
            return matrix;
        }
    }

    /// <summary>Whether products are made with rounded weights, so that libtorch's are no substitute.</summary>
    public bool IsQuantized => quantization != Quantization.None;

    public void Dispose() => matrix?.Dispose();

    private unsafe PackedMatrix Pack(Tensor weight)
    {
        using var rows = weight.contiguous();
        var (N, K, count) = ((int)weight.size(0), (int)weight.size(1), (int)weight.numel());
        float* data = TensorMemory.Pointer(rows);
        var packed = weight.dtype == ScalarType.Float32
            ? PackedMatrix.Pack(new ReadOnlySpan<float>(data, count), N, K, IsQuantized ? PackedType.Int8 : PackedType.Float32, Libtorch.Threads)
            : PackedMatrix.Pack(new ReadOnlySpan<ushort>(data, count), N, K, IsQuantized ? PackedType.Int8 : PackedType.BFloat16, Libtorch.Threads);
        MappedFile.Release((byte*)data, weight.numel() * weight.element_size());
        GC.KeepAlive(rows);
        return packed;
    }
}
