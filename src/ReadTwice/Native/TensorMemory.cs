using System.Runtime.InteropServices;
using ReadTwice.Checkpoints;
using ReadTwice.Kernels.Cuda;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Native;

/// <summary>Tensors over memory that is already there, and the memory of tensors: no copies in either direction.</summary>
internal static unsafe partial class TensorMemory
{
    private static bool countsVersions = true;

    /// <summary>The first element of a tensor. Keep the tensor alive while it is used; take its strides with it.</summary>
    public static float* Pointer(Tensor tensor) => (float*)Data(tensor.Handle);

    /// <summary>The numbers of a contiguous float32 tensor. Keep the tensor alive while they are used.</summary>
    public static Span<float> Span(Tensor tensor) => new(Pointer(tensor), checked((int)tensor.numel()));

    /// <summary>The memory of a contiguous tensor, on whatever device it is; none where it is null. Keep the tensor alive while it is used.</summary>
    public static DeviceMemory Memory(Tensor? tensor) =>
        tensor is null ? default : new(Data(tensor.Handle), tensor.numel() * tensor.element_size());

    /// <summary>A tensor of this type as kernels for CUDA read it: contiguous, and not a view that starts within 16 bytes.</summary>
    public static Tensor Aligned(Tensor x, ScalarType type)
    {
        var laid = x.to(type).contiguous();
        return Memory(laid).Address % DeviceMemory.Alignment == 0 ? laid : laid.clone();
    }

    /// <summary>A tensor over the mapped bytes of a stored one, which must outlive it.</summary>
    public static Tensor Map(StoredTensor stored)
    {
        long[] sizes = [.. stored.Shape], strides = [.. stored.Strides];
        if (stored.Count == 0) return empty(sizes, TypeOf(stored.Type));
        int type = (int)TypeOf(stored.Type);
        nint handle;
        int error;
        fixed (long* size = sizes, stride = strides)
            error = FromBlob(stored.Data, sizes.Length, size, stride, 0, type, 0, 0, out handle);
        if (error != 0) throw new InvalidDataException($"{stored.File}: {stored.Name} could not be mapped (libtorch error {error}).");
        return Tensor.UnsafeCreateTensor(handle);
    }

    /// <summary>A part of a contiguous tensor's bytes. Keep the tensor alive while they are used.</summary>
    public static ReadOnlySpan<byte> Bytes(Tensor tensor, long offset, int length) => new((byte*)Data(tensor.Handle) + offset, length);

    /// <summary>How often a tensor was written to, through whichever of its views; null where libtorch does not tell.</summary>
    /// <remarks>Only Linux and macOS name the functions so, and tensors made in inference mode do not count.</remarks>
    public static long? Version(Tensor tensor)
    {
        if (!countsVersions) return null;
        try
        {
            return IsInference(tensor.Handle) ? null : VersionOf(tensor.Handle);
        }
        catch (EntryPointNotFoundException)
        {
            countsVersions = false;
            return null;
        }
    }

    /// <summary>A contiguous tensor, to be written from where it lies.</summary>
    public static TensorToWrite ToWrite(string name, Tensor tensor) =>
        new(name, TypeOf(tensor.dtype), tensor.shape, (offset, length) => Bytes(tensor, offset, length));

    /// <summary>libtorch's type for a stored one.</summary>
    public static ScalarType TypeOf(StoredType type) => type switch
    {
        StoredType.F64 => ScalarType.Float64,
        StoredType.F32 => ScalarType.Float32,
        StoredType.F16 => ScalarType.Float16,
        StoredType.BF16 => ScalarType.BFloat16,
        StoredType.I64 => ScalarType.Int64,
        StoredType.I32 => ScalarType.Int32,
        StoredType.I16 => ScalarType.Int16,
        StoredType.I8 => ScalarType.Int8,
        StoredType.U8 => ScalarType.Byte,
        _ => ScalarType.Bool,
    };

    /// <summary>The stored type of a tensor's elements.</summary>
    public static StoredType TypeOf(ScalarType type) => type switch
    {
        ScalarType.Float64 => StoredType.F64,
        ScalarType.Float32 => StoredType.F32,
        ScalarType.Float16 => StoredType.F16,
        ScalarType.BFloat16 => StoredType.BF16,
        ScalarType.Int64 => StoredType.I64,
        ScalarType.Int32 => StoredType.I32,
        ScalarType.Int16 => StoredType.I16,
        ScalarType.Int8 => StoredType.I8,
        ScalarType.Byte => StoredType.U8,
        ScalarType.Bool => StoredType.Bool,
        _ => throw new ArgumentException($"A tensor of {type} cannot be stored; convert it first."),
    };

    [LibraryImport("torch_cpu", EntryPoint = "_ZNK2at10TensorBase8_versionEv")]
    private static partial long VersionOf(nint tensor);

    [LibraryImport("torch_cpu", EntryPoint = "_ZN2at4_ops12is_inference4callERKNS_6TensorE")]
    [return: MarshalAs(UnmanagedType.U1)]
    private static partial bool IsInference(nint tensor);

    [LibraryImport("LibTorchSharp", EntryPoint = "THSTensor_data")]
    private static partial nint Data(nint tensor);

    [LibraryImport("torch_cpu", EntryPoint = "aoti_torch_create_tensor_from_blob")]
    private static partial int FromBlob(
        void* data, long dimensions, long* sizes, long* strides, long offset, int type, int device, int deviceIndex, out nint tensor);
}
