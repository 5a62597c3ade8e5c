using System.Runtime.InteropServices;

namespace ReadTwice.Kernels.Cuda;

/// <summary>What a backward pass reads and writes beside the operands of the forward pass, whose O and Norms it needs.</summary>
/// <remarks>DEndS, DEndZ, DS and DZ are float32, everything else bfloat16.</remarks>
internal struct CudaAttentionGradients
{
    /// <summary>The gradients of the outputs [B, T, H, V] and of the state after; the latter empty where it has none.</summary>
    public DeviceMemory DO, DEndS, DEndZ;

    /// <summary>The gradients of queries, keys and values, of the prefix's, and of the state before.</summary>
    public DeviceMemory DQ, DK, DV, DKEnc, DVEnc, DS, DZ;

    /// <summary>Memory for the gradients of the sums: [B, T, H, V] and [B, T, H, 16].</summary>
    public DeviceMemory G, R;
}

/// <summary>The gradients of <see cref="CudaPrefixLinearAttention"/>, for values of 48, 64 .. 128 numbers.</summary>
internal static class CudaPrefixLinearAttentionBackward
{
    private const string Module = "PrefixLinearAttentionBackward";
    private const int More = 16;   // columns beside the values, which carry the gradient of the normaliser

    /// <summary>Whether the kernels serve these sizes.</summary>
    public static bool Serves(AttentionSizes sizes) => CudaPrefixLinearAttention.Serves(sizes) && sizes.V >= 48;

    /// <summary>The gradients of everything the forward pass read; all results are overwritten.</summary>
    /// <exception cref="ArgumentException">The sizes are not served, or memory does not hold what its shape says.</exception>
    public static void Backward(ICudaDevice device, AttentionSizes sizes, int P, float scale, CudaAttentionOperands x, CudaAttentionGradients d)
    {
        Require(sizes, P, x, d);
        var (B, T, H, _, V) = sizes;
        Cotangents(device, sizes, x, d);
        var arguments = new GradientArguments { T = T, H = H, Width = V, Scale = scale };
        Launch(device, B, x, d, arguments with
        {
            X = x.Q.Address,
            Y = d.G.Address,
            YMore = d.R.Address,
            Summed = x.K.Address,
            SummedY = x.V.Address,
            P = P,
            FirstX = x.KEnc.Address,
            FirstY = x.VEnc.Address,
            S = x.S.Address,
            Z = x.Z.Address,
            DX = d.DQ.Address,
        });
        Launch(device, B, x, d, arguments with
        {
            X = x.K.Address,
            Y = x.V.Address,
            Summed = x.Q.Address,
            SummedY = d.G.Address,
            SummedYMore = d.R.Address,
            Last = P,
            LastX = x.KEnc.Address,
            LastY = x.VEnc.Address,
            S = d.DEndS.Address,
            Z = d.DEndZ.Address,
            EndS = d.DS.Address,
            EndZ = d.DZ.Address,
            DX = d.DK.Address,
            DLastX = d.DKEnc.Address,
            IsReversed = 1,
        });
        CudaPrefixLinearAttention.Launch(device, B, 1, new()
        {
            Q = x.K.Address,
            K = x.Q.Address,
            V = d.G.Address,
            QLast = x.KEnc.Address,
            S = d.DEndS.Address,
            O = d.DV.Address,
            OLast = d.DVEnc.Address,
            T = T,
            Last = P,
            H = H,
            Width = V,
            Segment = T,
            EncSegment = 1,
            Slots = 1,
            IsReversed = 1,
            Scale = scale,
        }, x, d.G, d.DEndS, d.DV, d.DVEnc);
    }

    private static void Cotangents(ICudaDevice device, AttentionSizes sizes, CudaAttentionOperands x, CudaAttentionGradients d)
    {
        long rows = (long)sizes.B * sizes.T * sizes.H;
        var arguments = new CotangentArguments
        {
            DO = d.DO.Address,
            O = x.O.Address,
            Norms = x.Norms.Address,
            G = d.G.Address,
            R = d.R.Address,
            Rows = rows,
            Width = sizes.V,
        };
        device.Launch(new()
        {
            Module = Module,
            Kernel = "cotangents",
            Grid = ((int)((rows + 7) / 8), 1, 1),
            Threads = 256,
            Arguments = MemoryMarshal.AsBytes(new ReadOnlySpan<CotangentArguments>(in arguments)),
            Operands = [d.DO, x.O, x.Norms, d.G, d.R],
        });
    }

    private static void Launch(ICudaDevice device, int B, CudaAttentionOperands x, CudaAttentionGradients d, GradientArguments arguments)
    {
        int width = arguments.Width + More;
        device.Launch(new()
        {
            Module = Module,
            Kernel = "gradientOfFeatures",
            Grid = (arguments.H, B, 1),
            Threads = 2 * width,
            SharedBytes = SharedBytes(arguments.Width),
            Arguments = MemoryMarshal.AsBytes(new ReadOnlySpan<GradientArguments>(in arguments)),
            Operands = [x.Q, x.K, x.V, x.KEnc, x.VEnc, x.S, x.Z, d.G, d.R, d.DEndS, d.DEndZ, d.DQ, d.DK, d.DKEnc, d.DS, d.DZ],
        });
    }

    /// <summary>Shared memory of a block: two tiles of keys, queries and both sides' values, with the columns beside them.</summary>
    internal static int SharedBytes(int V) => 2 * (2 * 64 * 32 + 2 * 64 * (2 * (V + More) + 16));

    private static void Require(AttentionSizes sizes, int P, CudaAttentionOperands x, CudaAttentionGradients d)
    {
        if (!Serves(sizes))
            throw new ArgumentException($"The kernels have gradients for keys of 16 and values of 48, 64 .. 128 numbers; these are {sizes}. Use the operators of libtorch.");
        const int Half = 2;   // bytes of a bfloat16
        var (B, T, H, K, V) = sizes;
        CudaPrefixLinearAttention.RequireInputs(sizes, P, x);
        x.Norms.Require("Norms", sizeof(float), [B, T, H]);
        d.DO.Require("DO", Half, [B, T, H, V]);
        d.DEndS.Require("DEndS", sizeof(float), [B, H, sizes.F, V], true);
        d.DEndZ.Require("DEndZ", sizeof(float), [B, H, sizes.F], d.DEndS.Address == 0);
        d.DQ.Require("DQ", Half, [B, T, H, K]);
        d.DK.Require("DK", Half, [B, T, H, K]);
        d.DV.Require("DV", Half, [B, T, H, V]);
        d.DKEnc.Require("DKEnc", Half, [B, P, H, K], P == 0);
        d.DVEnc.Require("DVEnc", Half, [B, P, H, V], P == 0);
        d.DS.Require("DS", sizeof(float), [B, H, sizes.F, V], true);
        d.DZ.Require("DZ", sizeof(float), [B, H, sizes.F], d.DS.Address == 0);
        d.G.Require("G", Half, [B, T, H, V]);
        d.R.Require("R", Half, [B, T, H, More]);
    }
}
