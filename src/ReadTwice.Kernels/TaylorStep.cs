using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>Reads token after token: a state passes through the processor once for each, which for a few of them beats a chunk.</summary>
internal static unsafe class TaylorStep<L> where L : struct, ILanes<L>
{
    /// <summary>From about so many tokens on a chunk is faster.</summary>
    public const int MostTokens = 4;

    private const int FewestNumbersForThreads = 1 << 18;

    public static void Read(TaylorOperands operands, int threads)
    {
        var sizes = operands.Sizes;
        if ((long)sizes.B * sizes.H * sizes.F * sizes.V < FewestNumbersForThreads) threads = 1;
        HeadWork.Run(sizes, sizes.T, 1, sizes.T, threads, group =>
        {
            int K = sizes.K, F = sizes.F;
            using var scratch = Scratch.For(scratch => new Buffers(sizes, scratch), out var buffers);
            for (int head = group.FirstHead; head < group.FirstHead + group.Heads; head++)
                for (int t = 0; t < sizes.T; t++)
                {
                    var step = new ChunkStep(group.B, head, t, 1);
                    float weight = operands.Keys.Mask.IsNull ? 1 : *operands.Keys.Mask[step with { Head = 0 }];
                    Features(operands.Keys.K[step], K, 1, weight, 1, buffers.Scaled, buffers.Keys);
                    Features(operands.Q[step], K, operands.Scale, 1, 0.5f, buffers.Scaled, buffers.Queries);
                    fixed (float* S = operands.States.SOf(group.B, 0, head), z = operands.States.ZOf(group.B, 0, head))
                    {
                        float norm = Norm(F, z, buffers.Keys, buffers.Queries);
                        if (!operands.Den.IsNull) *operands.Den[step] = norm;
                        Read(F, sizes.V, S, buffers, operands.Keys.V[step], 1 / norm, operands.O[step]);
                    }
                }
        });
    }

    /// <summary>features = weight · [1, xᵢ, xᵢxⱼ, square · xᵢ²], where x is scaled.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Features(float* x, int K, float scale, float weight, float square, float* scaled, float* features)
    {
        for (int i = 0; i < K; i++) scaled[i] = scale * x[i];
        features[0] = weight;
        for (int i = 0; i < K; i++) features[1 + i] = weight * scaled[i];
        float* row = features + 1 + K;
        for (int i = 0; i < K; i++)
        {
            // What goes beyond j = i is overwritten by the next row; after the last there is room for it.
            L xi = L.Create(features[1 + i]);
            for (int j = 0; j <= i; j += L.Count) (xi * L.Load(scaled + j)).Store(row + j);
            row[i] *= square;
            row += i + 1;
        }
    }

    /// <summary>z ← z + keys, and queries · z.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Norm(int F, float* z, float* keys, float* queries)
    {
        L sums = default;
        int f = 0;
        for (; f + L.Count <= F; f += L.Count)
        {
            L norm = L.Load(z + f) + L.Load(keys + f);
            norm.Store(z + f);
            sums = L.MultiplyAdd(norm, L.Load(queries + f), sums);
        }
        float sum = L.Sum(sums) + TaylorLinearAttention.Epsilon;
        for (; f < F; f++) sum += queries[f] * (z[f] += keys[f]);
        return sum;
    }

    /// <summary>S ← S + keysᵀv, and o = factor · queries S.</summary>
    private static void Read(int F, int V, float* S, Buffers buffers, float* v, float factor, float* o)
    {
        int j = 0;
        for (; j + 4 * L.Count <= V; j += 4 * L.Count) Columns<Row4<L>>(F, V, S + j, buffers, v + j, factor, o + j);
        for (; j + L.Count <= V; j += L.Count) Columns<L>(F, V, S + j, buffers, v + j, factor, o + j);
        for (; j < V; j++)
        {
            float sum = 0;
            for (int f = 0; f < F; f++) sum += buffers.Queries[f] * (S[f * V + j] += buffers.Keys[f] * v[j]);
            o[j] = factor * sum;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Columns<R>(int F, int V, float* S, Buffers buffers, float* v, float factor, float* o)
        where R : struct, IRow<R, L>
    {
        R value = R.Load(v), sum = default;
        for (int f = 0; f < F; f++, S += V)
        {
            R row = R.MultiplyAdd(L.Create(buffers.Keys[f]), value, R.Load(S));
            row.Store(S);
            sum = R.MultiplyAdd(L.Create(buffers.Queries[f]), row, sum);
        }
        R.Scale(L.Create(factor), sum).Store(o);
    }

    /// <summary>A scaled vector [K] and two of features [F], each with room for a register beyond its end.</summary>
    private readonly struct Buffers(AttentionSizes sizes, Scratch scratch)
    {
        public readonly float* Scaled = scratch.Take(sizes.K + L.Count);
        public readonly float* Keys = scratch.Take(sizes.F + L.Count);
        public readonly float* Queries = scratch.Take(sizes.F + L.Count);
    }
}
