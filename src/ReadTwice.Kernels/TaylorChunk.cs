using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>
/// A few tokens of one head, read together: between the chunks the state carries everything, inside a chunk each query meets
/// each key, which needs no features: φ(q)·φ(k) = 1 + s + s²/2.
/// </summary>
/// <remarks>
/// Tokens beyond the last are zero in every operand. q, k and the features lie transposed, tokens along the registers. Features
/// and key widths are rounded up to whole tiles, value widths to whole registers; what is added is zero.
/// </remarks>
internal unsafe struct TaylorChunk<L> where L : struct, ILanes<L>
{
    /// <summary>Whole tiles, whole registers, and the fewest operations: larger chunks meet more pairs, smaller starve the tiles.</summary>
    public const int C = 48;

    private readonly int K, V, width;
    private readonly float* q, k, v, weights, features, scores, den, factors, spare;
    private int count;

    public TaylorChunk(AttentionSizes sizes, Scratch scratch)
    {
        (K, V, width) = (sizes.K, sizes.V, sizes.F);
        F = Whole(width, 2 * Tile<L>.Rows);
        W = Whole(V, L.Count);
        q = scratch.Take(Whole(K, Tile<L>.Rows) * C);
        k = scratch.Take(Whole(K, Tile<L>.Rows) * C);
        v = scratch.Take(C * W);
        weights = scratch.Take(C);
        features = scratch.Take(F * C);
        scores = scratch.Take(C * C);
        den = scratch.Take(C);
        factors = scratch.Take(C);
        spare = scratch.Take(Tile<L>.Rows * W);
    }

    /// <summary>Puts zero into what is read but never written: rows and columns that fill up tiles and registers.</summary>
    public readonly void Clear() => new Ref(q, (int)(spare - q)).Clear();

    /// <summary>Rows of a state in scratch memory: F in whole tiles.</summary>
    public int F { get; }

    /// <summary>Columns of a state in scratch memory: V in whole registers.</summary>
    public int W { get; }

    public void LoadQueries(HeadRows from, ChunkStep step, float scale)
    {
        count = step.Count;
        Transposed(from[step], from.Step, scale, q);
    }

    public void LoadKeys(TaylorKeys from, ChunkStep step)
    {
        count = step.Count;
        Transposed(from.K[step], from.K.Step, 1, k);
        new Ref(weights, C).Clear();
        if (from.Mask.IsNull) new Ref(weights, count).Fill(1);
        else new In(from.Mask[step with { Head = 0 }], count).CopyTo(new Ref(weights, count));
        Packed(from.V[step], from.V.Step, V, v, W);
    }

    /// <summary>o ← φ(q)S / φ(q)·z for the tokens of the chunk, whose own keys are not in S and z yet; norms receives φ(q)·z.</summary>
    /// <remarks>Nothing is read from a state said to be empty.</remarks>
    public void Read(float* S, float* z, bool empty, HeadRows o, HeadRows norms, ChunkStep step)
    {
        new Ref(den, C).Fill(TaylorLinearAttention.Epsilon);
        if (!empty)
        {
            TaylorFeatures<L>.Write(q, K, null, 0.5f, features);
            TaylorFeatures<L>.Norms(features, F, z, den);
        }
        Score();
        for (int t = 0; t < C; t++) factors[t] = 1 / den[t];
        for (int t = 0; t < count; t += Tile<L>.Rows)
        {
            var fromState = new Product(features + t, C, 1, S, W, empty ? 0 : width);
            var fromChunk = new Product(scores + t, C, 1, v, W, Math.Min(t + Tile<L>.Rows, count));
            int rows = Math.Min(Tile<L>.Rows, count - t);
            float* row = o[step] + (nint)t * o.Step;
            if (rows == Tile<L>.Rows && V == W)
            {
                Tile<L>.Set(W, fromState, fromChunk, factors + t, row, o.Step);
                continue;
            }
            Tile<L>.Set(W, fromState, fromChunk, factors + t, spare, W);
            for (int r = 0; r < rows; r++)
                new In(spare + r * W, V).CopyTo(new Ref(row + (nint)r * o.Step, V));
        }
        if (!norms.IsNull)
            for (int t = 0; t < count; t++) norms[step][(nint)t * norms.Step] = den[t];
    }

    /// <summary>S ← S + φ(k)ᵀv and z ← z + φ(k) over the tokens of the chunk.</summary>
    /// <remarks>
    /// Meanwhile asks for the rows of the chunk that comes next, a few with each tile: all at once they would hold up the
    /// loads of the tiles.
    /// </remarks>
    public void Write(float* S, float* z, HeadRows[] coming, ChunkStep next)
    {
        TaylorFeatures<L>.Write(k, K, weights, 1, features);
        TaylorFeatures<L>.AddSums(features, F, z);
        int share = Whole(C * Tile<L>.Rows, F) / F;
        for (int f = 0, t = 0; f < F; f += Tile<L>.Rows, t += share)
        {
            foreach (var rows in coming) rows.Prefetch(next, t, t + share);
            Tile<L>.Add(W, new Product(features + f * C, 1, C, v, W, count), S + f * W, W);
        }
    }

    /// <summary>scores[j, i] = weightⱼ (1 + s + s²/2) where key j is not after query i, else zero; and their sums into den.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Score()
    {
        for (int j = 0; j < count; j += Tile<L>.Rows)
        {
            int from = j / L.Count * L.Count;
            Tile<L>.Set(C - from, new Product(k + j, C, 1, q + from, C, K), scores + j * C + from, C);
        }
        L one = L.Create(1), half = L.Create(0.5f);
        for (int i = 0; i < C; i += L.Count)
        {
            // A tile of queries meets keys to the end of its last one, which may be in the next register.
            int keys = Math.Min(count, i + L.Count + Tile<L>.Rows - 1);
            L sum = L.Load(den + i);
            for (int j = 0; j < keys; j++)
            {
                L s = L.Load(scores + j * C + i);
                L score = L.Create(weights[j]) * L.MultiplyAdd(s, L.MultiplyAdd(s, half, one), one);
                if (j > i) score = L.From(score, j - i);
                score.Store(scores + j * C + i);
                sum += score;
            }
            sum.Store(den + i);
        }
    }

    private readonly void Transposed(float* from, int row, float scale, float* to)
    {
        Transpose.Copy(from, row, count, K, scale, to, C);
        if (count < C)
            for (int i = 0; i < K; i++) new Ref(to + i * C + count, C - count).Clear();
    }

    /// <summary>Copies rows that lie far apart to where they are neighbours.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Packed(float* from, nint row, int width, float* to, int toRow)
    {
        int whole = width / L.Count * L.Count;
        for (int t = 0; t < count; t++, from += row, to += toRow)
        {
            for (int i = 0; i < whole; i += L.Count) L.Load(from + i).Store(to + i);
            for (int i = whole; i < width; i++) to[i] = from[i];
        }
        new Ref(to, (C - count) * toRow).Clear();
    }

    private static int Whole(int size, int part) => (size + part - 1) / part * part;
}
