using System.Runtime.InteropServices;

namespace ReadTwice.Kernels.Cuda;

/// <summary>What a forward pass reads and writes; empty memory where something is absent.</summary>
/// <remarks>
/// q, k, v, o and those of the prefix are bfloat16, everything else float32. Shapes are those of <see cref="PrefixLinearAttention"/>.
/// </remarks>
internal struct CudaAttentionOperands
{
    /// <summary>Queries [B, T, H, K], keys [B, T, H, K] and values [B, T, H, V].</summary>
    public DeviceMemory Q, K, V;

    /// <summary>Keys and values of the prefix, [B, P, H, K] and [B, P, H, V].</summary>
    public DeviceMemory KEnc, VEnc;

    /// <summary>The state before, S [B, H, F, V] and z [B, H, F]; empty where nothing was read.</summary>
    public DeviceMemory S, Z;

    /// <summary>The state after; empty where it is not wanted.</summary>
    public DeviceMemory EndS, EndZ;

    /// <summary>The outputs [B, T, H, V], and the normalisers [B, T, H] where they are wanted.</summary>
    public DeviceMemory O, Norms;

    /// <summary>Memory for the states of segments: S [B, H, slots, F, V] and z [B, H, slots, F]; empty where there is one.</summary>
    public DeviceMemory SegmentS, SegmentZ;
}

/// <summary>How a text is cut so that a few heads fill a card: segments of it are summed side by side, then read side by side.</summary>
/// <param name="Length">Tokens of a segment.</param>
/// <param name="Count">Segments of the text.</param>
/// <param name="EncLength">Tokens of a segment of the prefix.</param>
/// <param name="EncCount">Segments of the prefix.</param>
internal readonly record struct CudaSegments(int Length, int Count, int EncLength, int EncCount)
{
    /// <summary>The fewest tokens that are worth a segment of their own.</summary>
    public const int FewestTokens = 512;

    /// <summary>How many states of segments there are for each head; 0 where nothing is cut.</summary>
    public int Slots => Count > 1 ? Count + EncCount : 0;

    /// <summary>One segment: nothing is cut.</summary>
    public static CudaSegments Whole(int T, int P) => new(Math.Max(1, T), 1, Math.Max(1, P), P > 0 ? 1 : 0);

    /// <summary>The cut for a card: two blocks for each multiprocessor, none of them too short.</summary>
    public static CudaSegments For(ICudaDevice device, AttentionSizes sizes, int P, int fewestTokens = FewestTokens)
    {
        int wanted = (int)(2L * device.Multiprocessors / ((long)sizes.B * sizes.H));
        int count = Math.Min(wanted, sizes.T / fewestTokens);
        if (count < 2) return Whole(sizes.T, P);
        int encCount = P == 0 ? 0 : Math.Clamp(P / fewestTokens, 1, wanted);
        int length = Up(sizes.T, count), encLength = encCount == 0 ? 1 : Up(P, encCount);
        return new(length, (sizes.T + length - 1) / length, encLength, encCount == 0 ? 0 : (P + encLength - 1) / encLength);
    }

    // Whole tiles of 64 tokens.
    private static int Up(int tokens, int count) => (tokens + 64 * count - 1) / (64 * count) * 64;
}

/// <summary>
/// Prefix linear attention on a card (JRT-RNN, arXiv 2407.05483; without a prefix Based, arXiv 2402.18668), for keys of 16 and
/// values of 16, 32 .. 128 numbers.
/// </summary>
/// <remarks>Computes what <see cref="PrefixLinearAttention"/> does, on bfloat16 with sums in float32. Masks are not supported.</remarks>
internal static class CudaPrefixLinearAttention
{
    internal const string Module = "PrefixLinearAttention";
    private const int Tile = 64;

    /// <summary>Whether the kernels serve these sizes.</summary>
    public static bool Serves(AttentionSizes sizes) => sizes is { K: 16, V: >= 16 and <= 128, B: >= 1, H: >= 1, T: >= 1 } && sizes.V % 16 == 0;

    /// <summary>Adds the prefix to the state, then reads T tokens causally.</summary>
    /// <exception cref="ArgumentException">The sizes are not served, or memory does not hold what its shape says.</exception>
    public static void Forward(ICudaDevice device, AttentionSizes sizes, int P, float scale, CudaAttentionOperands x, CudaSegments segments)
    {
        Require(sizes, P, x);
        var (B, T, H, _, V) = sizes;
        var arguments = new ForwardArguments
        {
            Q = x.Q.Address,
            K = x.K.Address,
            V = x.V.Address,
            KEnc = x.KEnc.Address,
            VEnc = x.VEnc.Address,
            O = x.O.Address,
            S = x.S.Address,
            Z = x.Z.Address,
            EndS = x.EndS.Address,
            EndZ = x.EndZ.Address,
            Norms = x.Norms.Address,
            T = T,
            P = P,
            H = H,
            Width = V,
            Segment = T,
            EncSegment = Math.Max(1, P),
            Slots = 1,
            IsNormalised = 1,
            Scale = scale,
        };
        int slots = segments.Slots;
        if (slots == 0)
        {
            Launch(device, B, 1, arguments, x);
            return;
        }
        x.SegmentS.Require("SegmentS", sizeof(float), [B, H, slots, sizes.F, V]);
        x.SegmentZ.Require("SegmentZ", sizeof(float), [B, H, slots, sizes.F]);
        var sums = arguments with
        {
            T = 0,
            S = 0,
            Z = 0,
            Norms = 0,
            EndS = x.SegmentS.Address,
            EndZ = x.SegmentZ.Address,
            Slots = slots,
        };
        if (P > 0) Launch(device, B, segments.EncCount, sums with { EncSegment = segments.EncLength }, x);
        Launch(device, B, segments.Count, sums with
        {
            P = T,
            KEnc = x.K.Address,
            VEnc = x.V.Address,
            EncSegment = segments.Length,
            FirstSlot = segments.EncCount,
        }, x);
        Scan(device, sizes, x, slots);
        Launch(device, B, segments.Count, arguments with
        {
            P = 0,
            S = x.SegmentS.Address,
            Z = x.SegmentZ.Address,
            EndS = 0,
            EndZ = 0,
            Segment = segments.Length,
            Slots = slots,
            FirstSlot = segments.EncCount,
        }, x);
    }

    /// <summary>The same for one token and no prefix; the state after must lie elsewhere than the one before.</summary>
    /// <exception cref="ArgumentException">The sizes are not served, memory does not hold what its shape says, or the states overlap.</exception>
    public static void Step(ICudaDevice device, AttentionSizes sizes, float scale, CudaAttentionOperands x)
    {
        Require(sizes, 0, x);
        if (sizes.T != 1) throw new ArgumentException($"A step reads one token, not T = {sizes.T}.", nameof(sizes));
        if (x.S.Address == 0 || x.S == x.EndS || x.Z == x.EndZ)
            throw new ArgumentException("A step needs a state before it, and memory of its own for the state after it.", nameof(x));
        var arguments = new StepArguments
        {
            Q = x.Q.Address,
            K = x.K.Address,
            V = x.V.Address,
            S = x.S.Address,
            Z = x.Z.Address,
            EndS = x.EndS.Address,
            EndZ = x.EndZ.Address,
            O = x.O.Address,
            H = sizes.H,
            Width = sizes.V,
            Scale = scale,
        };
        device.Launch(new()
        {
            Module = "PrefixLinearAttentionStep",
            Kernel = "prefixLinearAttentionStep",
            Grid = (sizes.H, sizes.B, sizes.V / 16),
            Threads = 128,
            Arguments = MemoryMarshal.AsBytes(new ReadOnlySpan<StepArguments>(in arguments)),
            Operands = [x.Q, x.K, x.V, x.S, x.Z, x.EndS, x.EndZ, x.O],
        });
    }

    // Sums of segments become the state before each, and the last of all is the state after the text.
    private static void Scan(ICudaDevice device, AttentionSizes sizes, CudaAttentionOperands x, int slots)
    {
        var arguments = new ScanArguments
        {
            S = x.SegmentS.Address,
            Z = x.SegmentZ.Address,
            FirstS = x.S.Address,
            FirstZ = x.Z.Address,
            EndS = x.EndS.Address,
            EndZ = x.EndZ.Address,
            Slots = slots,
            Width = sizes.V,
        };
        device.Launch(new()
        {
            Module = Module,
            Kernel = "scanStates",
            Grid = ((sizes.F * (sizes.V + 1) + 255) / 256, sizes.B * sizes.H, 1),
            Threads = 256,
            Arguments = MemoryMarshal.AsBytes(new ReadOnlySpan<ScanArguments>(in arguments)),
            Operands = [x.SegmentS, x.SegmentZ, x.S, x.Z, x.EndS, x.EndZ],
        });
    }

    internal static void Launch(ICudaDevice device, int B, int segments, ForwardArguments arguments, CudaAttentionOperands x, params ReadOnlySpan<DeviceMemory> more)
    {
        device.Launch(new()
        {
            Module = Module,
            Kernel = "prefixLinearAttention",
            Grid = (arguments.H, B, segments),
            Threads = 2 * arguments.Width,
            SharedBytes = SharedBytes(arguments.Width),
            Arguments = MemoryMarshal.AsBytes(new ReadOnlySpan<ForwardArguments>(in arguments)),
            Operands = [x.Q, x.K, x.V, x.KEnc, x.VEnc, x.S, x.Z, x.EndS, x.EndZ, x.O, x.Norms, x.SegmentS, x.SegmentZ, .. more],
        });
    }

    /// <summary>Shared memory of a block: two tiles of keys, queries and values, ten blocks of weights, and the normalisers.</summary>
    internal static int SharedBytes(int V) => 2 * (2 * Tile * 32 + Tile * (2 * V + 16)) + 10 * 512 + Tile * sizeof(float);

    private static void Require(AttentionSizes sizes, int P, CudaAttentionOperands x)
    {
        RequireInputs(sizes, P, x);
        x.EndS.Require("EndS", sizeof(float), [sizes.B, sizes.H, sizes.F, sizes.V]);
        x.EndZ.Require("EndZ", sizeof(float), [sizes.B, sizes.H, sizes.F]);
    }

    internal static void RequireInputs(AttentionSizes sizes, int P, CudaAttentionOperands x)
    {
        if (!Serves(sizes))
            throw new ArgumentException($"The kernels serve keys of 16 and values of 16, 32 .. 128 numbers; these are {sizes}. Use the operators of libtorch.");
        if (P < 0) throw new ArgumentException($"A prefix has no tokens or more, not P = {P}.", nameof(P));
        const int Half = 2;   // bytes of a bfloat16
        var (B, T, H, K, V) = sizes;
        x.Q.Require("Q", Half, [B, T, H, K]);
        x.K.Require("K", Half, [B, T, H, K]);
        x.V.Require("V", Half, [B, T, H, V]);
        x.O.Require("O", Half, [B, T, H, V]);
        x.KEnc.Require("KEnc", Half, [B, P, H, K], P == 0);
        x.VEnc.Require("VEnc", Half, [B, P, H, V], P == 0);
        x.Norms.Require("Norms", sizeof(float), [B, T, H], true);
        x.S.Require("S", sizeof(float), [B, H, sizes.F, V], true);
        x.Z.Require("Z", sizeof(float), [B, H, sizes.F], x.S.Address == 0);
    }
}
