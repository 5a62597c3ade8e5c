using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>
/// A few tokens of one head, read together: between the chunks the state carries everything, inside a chunk each query meets
/// each key, which needs no features: φ(q)·φ(k) = 1 + s + s²/2.
/// </summary>
/// <remarks>
/// Queries, keys and features lie transposed, tokens along the registers; beyond the last token they are zero. F and key widths
/// are rounded up to whole tiles, W, the width of values, to whole registers; what is added is zero.
/// </remarks>
internal unsafe struct TaylorChunk<L> where L : struct, ILanes<L>
{
    /// <summary>Whole tiles, whole registers, and the fewest operations: larger chunks meet more pairs, smaller starve the tiles.</summary>
    public const int C = 48;

    public readonly int K, V, Width, F, W;
    public readonly float* Queries, Keys, Values, Weights, Features, Scores;
    private readonly float* den, factors, spare;

    public TaylorChunk(AttentionSizes sizes, Scratch scratch)
    {
        (K, V, Width) = (sizes.K, sizes.V, sizes.F);
        // Whole tiles, and whole fours for the sums of features.
        F = Whole(Width, 2 * Tile<L>.Rows);
        W = Whole(V, L.Count);
        Queries = scratch.Take(Whole(K, Tile<L>.Rows) * C);
        Keys = scratch.Take(Whole(K, Tile<L>.Rows) * C);
        Values = scratch.Take(C * W);
        Weights = scratch.Take(C);
        Features = scratch.Take(F * C);
        Scores = scratch.Take(C * C);
        den = scratch.Take(C);
        factors = scratch.Take(C);
        spare = scratch.Take(Tile<L>.Rows * W);
    }

    /// <summary>How many tokens there are.</summary>
    public int Count { get; private set; }

    public static int Whole(int size, int part) => (size + part - 1) / part * part;

    /// <summary>Puts zero into what is read but never written: what fills up tiles and registers.</summary>
    public readonly void Clear() => new Ref(Queries, (int)(spare - Queries)).Clear();

    public void LoadQueries(HeadRows from, ChunkStep step, float scale)
    {
        Count = step.Count;
        Turn(from[step], from.Step, scale, Queries);
    }

    public void LoadKeys(TaylorKeys from, ChunkStep step)
    {
        Count = step.Count;
        Turn(from.K[step], from.K.Step, 1, Keys);
        new Ref(Weights, C).Clear();
        if (from.Mask.IsNull) new Ref(Weights, Count).Fill(1);
        else new In(from.Mask[step with { Head = 0 }], Count).CopyTo(new Ref(Weights, Count));
        Pack(from.V, step, V, 1, Values, W);
    }

    /// <summary>o ← φ(q)S / φ(q)·z for the tokens of the chunk, whose own keys are not in S and z yet; norms receives φ(q)·z.</summary>
    /// <remarks>Nothing is read from a state said to be empty.</remarks>
    public readonly void Read(float* S, float* z, bool empty, HeadRows o, HeadRows norms, ChunkStep step)
    {
        new Ref(den, C).Fill(TaylorLinearAttention.Epsilon);
        if (!empty)
        {
            TaylorFeatures<L>.Write(Queries, K, null, 0.5f, Features);
            TaylorFeatures<L>.Norms(Features, F, z, den);
        }
        Meet();
        Score();
        for (int t = 0; t < C; t++) factors[t] = 1 / den[t];
        for (int t = 0; t < Count; t += Tile<L>.Rows)
        {
            var fromState = new Product(Features + t, C, 1, S, W, empty ? 0 : Width);
            var fromChunk = new Product(Scores + t, C, 1, Values, W, Math.Min(t + Tile<L>.Rows, Count));
            Emit(fromState, fromChunk, factors + t, o, step, t);
        }
        if (!norms.IsNull)
            for (int t = 0; t < Count; t++) norms[step][(nint)t * norms.Step] = den[t];
    }

    /// <summary>S ← S + φ(k)ᵀv and z ← z + φ(k) over the tokens of the chunk.</summary>
    public readonly void Write(float* S, float* z, HeadRows[] coming, ChunkStep next)
    {
        TaylorFeatures<L>.Write(Keys, K, Weights, 1, Features);
        TaylorFeatures<L>.AddSums(Features, F, null, z);
        WriteTiles(Values, S, coming, next);
    }

    /// <summary>S ← S + featuresᵀ · values.</summary>
    /// <remarks>
    /// Meanwhile asks for the rows of the chunk that comes next, a few with each tile: all at once they would hold up the
    /// loads of the tiles.
    /// </remarks>
    public readonly void WriteTiles(float* values, float* S, HeadRows[] coming, ChunkStep next)
    {
        int share = Whole(C * Tile<L>.Rows, F) / F;
        for (int f = 0, t = 0; f < F; f += Tile<L>.Rows, t += share)
        {
            foreach (var rows in coming) rows.Prefetch(next, t, t + share);
            Tile<L>.Add(W, new Product(Features + f * C, 1, C, values, W, Count), S + f * W, W);
        }
    }

    /// <summary>scores[j, i] = s, the product of key j and query i; where j is well after i, nothing is written.</summary>
    public readonly void Meet()
    {
        for (int j = 0; j < Count; j += Tile<L>.Rows)
        {
            int from = j / L.Count * L.Count;
            Tile<L>.Set(C - from, new Product(Keys + j, C, 1, Queries + from, C, K), Scores + j * C + from, C);
        }
    }

    /// <summary>How many keys the register of queries from i on is computed with: a tile of queries meets keys to the end of its last.</summary>
    public readonly int Met(int i) => Math.Min(Count, i + L.Count + Tile<L>.Rows - 1);

    /// <summary>Writes a tile of six tokens from t on, as far as there are so many, to where their rows lie.</summary>
    public readonly void Emit(in Product first, in Product second, float* factors, HeadRows to, ChunkStep step, int t)
    {
        int rows = Math.Min(Tile<L>.Rows, Count - t);
        float* row = to[step] + (nint)t * to.Step;
        if (rows == Tile<L>.Rows && V == W)
        {
            Tile<L>.Set(W, first, second, factors, row, to.Step);
            return;
        }
        Tile<L>.Set(W, first, second, factors, spare, W);
        for (int r = 0; r < rows; r++, row += to.Step) new In(spare + r * W, V).CopyTo(new Ref(row, V));
    }

    /// <summary>Copies rows that lie far apart to where they are neighbours.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Pack(HeadRows rows, ChunkStep step, int width, float scale, float* to, int toRow)
    {
        L factor = L.Create(scale);
        float* from = rows[step];
        int whole = width / L.Count * L.Count;
        for (int t = 0; t < Count; t++, from += rows.Step, to += toRow)
        {
            for (int i = 0; i < whole; i += L.Count) (factor * L.Load(from + i)).Store(to + i);
            for (int i = whole; i < width; i++) to[i] = scale * from[i];
        }
    }

    /// <summary>scores[j, i] ← weightⱼ (1 + s + s²/2) where key j is not after query i, else zero; their sums are added to den.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Score()
    {
        L one = L.Create(1), half = L.Create(0.5f);
        for (int i = 0; i < C; i += L.Count)
        {
            L sum = L.Load(den + i);
            int keys = Met(i);
            for (int j = 0; j < keys; j++)
            {
                L s = L.Load(Scores + j * C + i);
                L score = L.Create(Weights[j]) * L.MultiplyAdd(s, L.MultiplyAdd(s, half, one), one);
                if (j > i) score = L.From(score, j - i);
                score.Store(Scores + j * C + i);
                sum += score;
            }
            sum.Store(den + i);
        }
    }

    private readonly void Turn(float* from, int row, float scale, float* to)
    {
        Transpose.Copy(from, row, Count, K, scale, to, C);
        if (Count < C)
            for (int i = 0; i < K; i++) new Ref(to + i * C + Count, C - Count).Clear();
    }
}
