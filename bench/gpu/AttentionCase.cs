using ReadTwice.Kernels;
using ReadTwice.Kernels.Cuda;

namespace ReadTwice.Bench.Gpu;

/// <summary>The memory of one call of prefix linear attention, and of its backward pass where it has one.</summary>
internal sealed class AttentionCase : IDisposable
{
    private const int Half = 2;
    private readonly CudaBuffers buffers = new();
    private readonly ICudaDevice device;
    private readonly AttentionSizes sizes;
    private readonly int P;
    private readonly float scale;
    private readonly CudaSegments segments;
    private readonly CudaAttentionOperands x;
    private readonly CudaAttentionGradients d;

    public AttentionCase(ICudaDevice device, AttentionSizes sizes, int P, bool learns, float scale = 0.25f)
    {
        (this.device, this.sizes, this.P, this.scale) = (device, sizes, P, scale);
        var (B, T, H, K, V) = sizes;
        long heads = (long)B * H, tokens = heads * T, prefix = heads * P;
        segments = learns ? CudaSegments.Whole(T, P) : CudaSegments.For(device, sizes, P);
        x = new()
        {
            Q = buffers.RandomHalves(tokens * K, 1),
            K = buffers.RandomHalves(tokens * K, 2),
            V = buffers.RandomHalves(tokens * V, 3),
            KEnc = buffers.RandomHalves(prefix * K, 4),
            VEnc = buffers.RandomHalves(prefix * V, 5),
            EndS = buffers.New(heads * sizes.F * V * sizeof(float)),
            EndZ = buffers.New(heads * sizes.F * sizeof(float)),
            O = buffers.New(tokens * V * Half),
            Norms = buffers.New(learns ? tokens * sizeof(float) : 0),
            SegmentS = buffers.New(heads * segments.Slots * sizes.F * V * sizeof(float)),
            SegmentZ = buffers.New(heads * segments.Slots * sizes.F * sizeof(float)),
        };
        if (!learns) return;
        d = new()
        {
            DO = buffers.RandomHalves(tokens * V, 6),
            DQ = buffers.New(tokens * K * Half),
            DK = buffers.New(tokens * K * Half),
            DV = buffers.New(tokens * V * Half),
            DKEnc = buffers.New(prefix * K * Half),
            DVEnc = buffers.New(prefix * V * Half),
            G = buffers.New(tokens * V * Half),
            R = buffers.New(tokens * 16 * Half),
        };
    }

    /// <summary>Bytes that a forward pass cannot do without: every operand once.</summary>
    public long Bytes => x.Q.Bytes + x.K.Bytes + x.V.Bytes + x.O.Bytes + x.KEnc.Bytes + x.VEnc.Bytes;

    public int Segments => segments.Count;

    public void Forward() => CudaPrefixLinearAttention.Forward(device, sizes, P, scale, x, segments);

    public void Backward() => CudaPrefixLinearAttentionBackward.Backward(device, sizes, P, scale, x, d);

    /// <summary>The largest difference of the outputs from double precision, relative to the largest output.</summary>
    public double ForwardError()
    {
        Forward();
        var (q, k, v, o) = (CudaBuffers.OfHalves(x.Q), CudaBuffers.OfHalves(x.K), CudaBuffers.OfHalves(x.V), CudaBuffers.OfHalves(x.O));
        var (kEnc, vEnc) = (CudaBuffers.OfHalves(x.KEnc), CudaBuffers.OfHalves(x.VEnc));
        var (B, T, H, K, V) = sizes;
        var expected = new float[o.Length];
        var sum = new double[V];
        for (int b = 0; b < B; b++)
            for (int h = 0; h < H; h++)
                for (int t = 0; t < T; t++)
                {
                    Array.Clear(sum);
                    double norm = 0;
                    int row = (b * T + t) * H + h;
                    for (int j = 0; j < P; j++) Add(kEnc, vEnc, (b * P + j) * H + h);
                    for (int j = 0; j <= t; j++) Add(k, v, (b * T + j) * H + h);
                    for (int c = 0; c < V; c++) expected[row * V + c] = (float)(sum[c] / norm);

                    void Add(float[] keys, float[] values, int at)
                    {
                        double s = 0;
                        for (int i = 0; i < K; i++) s += scale * q[row * K + i] * keys[at * K + i];
                        double weight = 1 + s + s * s / 2;
                        norm += weight;
                        for (int c = 0; c < V; c++) sum[c] += weight * values[at * V + c];
                    }
                }
        return Difference(expected, o);
    }

    /// <summary>The largest differences of the gradients from those of the processor's kernels in float32, relative to the largest of each.</summary>
    public (double DQ, double DK, double DV, double DKEnc, double DVEnc) BackwardErrors()
    {
        Forward();
        Backward();
        var (B, T, H, _, V) = sizes;
        float[] Of(DeviceMemory memory) => CudaBuffers.OfHalves(memory);
        var (q, k, v, kEnc, vEnc, dO) = (Of(x.Q), Of(x.K), Of(x.V), Of(x.KEnc), Of(x.VEnc), Of(d.DO));
        int state = B * H * sizes.F;
        float[] S = new float[state * V], z = new float[state], o = new float[v.Length], norms = new float[B * T * H];
        PrefixLinearAttention.Forward(sizes, P, scale, kEnc, vEnc, [], q, k, v, [], S, z, o, norms);
        float[] S0 = new float[S.Length], z0 = new float[z.Length], dS0 = new float[S.Length], dz0 = new float[z.Length];
        float[] dkEnc = new float[kEnc.Length], dvEnc = new float[vEnc.Length], dq = new float[q.Length], dk = new float[k.Length], dv = new float[v.Length];
        PrefixLinearAttention.Backward(sizes, P, scale, kEnc, vEnc, [], q, k, v, [], o, norms, S0, z0, dO, [], [], dkEnc, dvEnc, dq, dk, dv, dS0, dz0);
        return (Difference(dq, Of(d.DQ)), Difference(dk, Of(d.DK)), Difference(dv, Of(d.DV)), Difference(dkEnc, Of(d.DKEnc)), Difference(dvEnc, Of(d.DVEnc)));
    }

    public void Dispose() => buffers.Dispose();

    private static double Difference(float[] expected, float[] actual)
    {
        double largest = 0, difference = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            largest = Math.Max(largest, Math.Abs(expected[i]));
            // What is not a number differs by more than any number.
            difference = float.IsFinite(actual[i]) ? Math.Max(difference, Math.Abs(expected[i] - actual[i])) : double.PositiveInfinity;
            if (double.IsInfinity(difference)) break;
        }
        return largest == 0 ? difference : difference / largest;
    }
}
