using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>The gradients of a chunk: with n = φ(q)S, d = φ(q)·z and o = n/d, dn = do/d and dd = -(do·o)/d.</summary>
/// <remarks>
/// What reaches a query or key from beyond the chunk comes through its features: a product with the state, or with the
/// gradient of the state, then the chain rule. What comes from inside needs none: ds = weight (dn·v + dd)(1 + s).
/// </remarks>
internal unsafe struct TaylorChunkBackward<L> where L : struct, ILanes<L>
{
    /// <summary>The operands of the forward pass.</summary>
    public TaylorChunk<L> Chunk;

    private const int C = TaylorChunk<L>.C;
    private readonly int K, V, F, W, rowWidth, taken;
    private readonly float* dn, dnTurned, dd, vTurned, ones, ds, gradient, turned, queryRows, rows;

    public TaylorChunkBackward(AttentionSizes sizes, Scratch scratch)
    {
        Chunk = new TaylorChunk<L>(sizes, scratch);
        (K, V, F, W, rowWidth) = (Chunk.K, Chunk.V, Chunk.F, Chunk.W, TaylorChunk<L>.Whole(Chunk.K, L.Count));
        dn = scratch.Take(C * W);
        dnTurned = scratch.Take(W * C);
        dd = scratch.Take(C);
        vTurned = scratch.Take(W * C);
        ones = scratch.Take(C);
        ds = scratch.Take(C * C);
        gradient = scratch.Take(F * C);
        turned = scratch.Take(TaylorChunk<L>.Whole(K, Tile<L>.Rows) * C);
        queryRows = scratch.Take(C * rowWidth);
        rows = scratch.Take(C * rowWidth);
        taken = (int)(rows + C * rowWidth - dn);
    }

    /// <summary>Puts zero into what is read but never written: what fills up tiles and registers.</summary>
    public readonly void Clear()
    {
        Chunk.Clear();
        new Ref(dn, taken).Clear();
        new Ref(ones, C).Fill(1);
    }

    public readonly void LoadOutputs(HeadRows dO, TaylorOperands operands, ChunkStep step)
    {
        Numerators(dO, operands.O, operands.Den, step);
        Transpose.Copy(dn, W, C, V, 1, dnTurned, C);
    }

    /// <summary>dq ← what the state before the chunk, S and z, gives it; nothing, where that is empty.</summary>
    public readonly void Queries(float* S, float* z, bool empty, float scale, HeadRows dq, ChunkStep step)
    {
        if (empty)
        {
            for (int t = 0; t < Chunk.Count; t++) new Ref(dq[step] + (nint)t * dq.Step, K).Clear();
            return;
        }
        Features(S, z, dnTurned, dd);
        TaylorFeatures<L>.Chain(gradient, Chunk.Queries, K, null, 1, turned);
        Transpose.Copy(turned, C, K, Chunk.Count, scale, dq[step], dq.Step);
    }

    /// <summary>Lets the queries and keys of the chunk meet again, and dq ← dq + what the keys give it.</summary>
    public readonly void Meet(HeadRows q, float scale, HeadRows dq, ChunkStep step)
    {
        Chunk.Pack(q, step, K, scale, queryRows, rowWidth);
        Chunk.Meet();
        for (int j = 0; j < Chunk.Count; j += Tile<L>.Rows)
        {
            int from = j / L.Count * L.Count;
            var numerator = new Product(Chunk.Values + j * W, 1, W, dnTurned + from, C, V);
            var denominator = new Product(ones, 0, 1, dd + from, 0, 1);
            Tile<L>.Set(C - from, numerator, denominator, null, ds + j * C + from, C);
        }
        Scores();
        for (int d = 0; d < K; d += Tile<L>.Rows)
            Tile<L>.Set(C, new Product(Chunk.Keys + d * C, 1, C, ds, C, Chunk.Count), turned + d * C, C);
        Transpose.Copy(turned, C, K, Chunk.Count, scale, rows, rowWidth);
        for (int t = 0; t < Chunk.Count; t++)
        {
            float* to = dq[step] + (nint)t * dq.Step;
            for (int i = 0; i < K; i++) to[i] += rows[t * rowWidth + i];
        }
    }

    /// <summary>dk and dv ← what reaches them through the state after the chunk, whose gradient is R and r, and from queries met.</summary>
    public readonly void Keys(float* R, float* r, bool empty, bool met, HeadRows dk, HeadRows dv, ChunkStep step)
    {
        if (empty) new Ref(rows, C * rowWidth).Clear();
        else
        {
            Transpose.Copy(Chunk.Values, W, C, V, 1, vTurned, C);
            Features(R, r, vTurned, ones);
            TaylorFeatures<L>.Chain(gradient, Chunk.Keys, K, Chunk.Weights, 2, turned);
            Transpose.Copy(turned, C, K, C, 1, rows, rowWidth);
            TaylorFeatures<L>.Write(Chunk.Keys, K, Chunk.Weights, 1, Chunk.Features);
        }
        for (int j = 0; j < Chunk.Count; j += Tile<L>.Rows)
        {
            // A query meets no key after it: the first of a tile of keys meets the queries from itself on.
            int queries = met ? Chunk.Count - j : 0, own = j * C + j;
            Tile<L>.Add(rowWidth, new Product(ds + own, 1, C, queryRows + j * rowWidth, rowWidth, queries), rows + j * rowWidth, rowWidth);
            var fromState = new Product(Chunk.Features + j, C, 1, R, W, empty ? 0 : Chunk.Width);
            var fromChunk = new Product(Chunk.Scores + own, 1, C, dn + j * W, W, queries);
            Chunk.Emit(fromState, fromChunk, null, dv, step, j);
        }
        for (int t = 0; t < Chunk.Count; t++)
            new In(rows + t * rowWidth, K).CopyTo(new Ref(dk[step] + (nint)t * dk.Step, K));
    }

    /// <summary>R ← R + φ(q)ᵀdn and r ← r + φ(q) dd.</summary>
    public readonly void Write(float* R, float* r, HeadRows[] coming, ChunkStep next)
    {
        TaylorFeatures<L>.Write(Chunk.Queries, K, null, 0.5f, Chunk.Features);
        TaylorFeatures<L>.AddSums(Chunk.Features, F, dd, r);
        Chunk.WriteTiles(dn, R, coming, next);
    }

    /// <summary>gradient[f, c] = S[f] · x[c] + z[f] y[c], with x turned.</summary>
    private readonly void Features(float* S, float* z, float* x, float* y)
    {
        for (int f = 0; f < F; f += Tile<L>.Rows)
            Tile<L>.Set(C, new Product(S + f * W, 1, W, x, C, V), new Product(z + f, 0, 1, y, 0, 1), null, gradient + f * C, C);
    }

    /// <summary>scores ← weightⱼ (1 + s + s²/2) and ds ← weightⱼ (1 + s) ds where key j is not after query i, else zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Scores()
    {
        L one = L.Create(1), half = L.Create(0.5f);
        for (int i = 0; i < C; i += L.Count)
        {
            int keys = Chunk.Met(i);
            for (int j = 0; j < keys; j++)
            {
                float* score = Chunk.Scores + j * C + i, slope = ds + j * C + i;
                L s = L.Load(score), weight = L.Create(Chunk.Weights[j]);
                L p = weight * L.MultiplyAdd(s, L.MultiplyAdd(s, half, one), one);
                L g = weight * L.Load(slope) * (one + s);
                if (j > i) (p, g) = (L.From(p, j - i), L.From(g, j - i));
                p.Store(score);
                g.Store(slope);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Numerators(HeadRows dO, HeadRows o, HeadRows den, ChunkStep step)
    {
        int whole = V / L.Count * L.Count;
        for (int t = 0; t < Chunk.Count; t++)
        {
            float* cotangent = dO[step] + (nint)t * dO.Step, output = o[step] + (nint)t * o.Step, to = dn + t * W;
            float inverse = 1 / den[step][(nint)t * den.Step], sum = 0;
            L factor = L.Create(inverse), sums = default;
            for (int i = 0; i < whole; i += L.Count)
            {
                L numerator = factor * L.Load(cotangent + i);
                numerator.Store(to + i);
                sums = L.MultiplyAdd(numerator, L.Load(output + i), sums);
            }
            for (int i = whole; i < V; i++)
            {
                to[i] = inverse * cotangent[i];
                sum += to[i] * output[i];
            }
            dd[t] = -(sum + L.Sum(sums));
        }
        new Ref(dd + Chunk.Count, C - Chunk.Count).Clear();
    }
}
