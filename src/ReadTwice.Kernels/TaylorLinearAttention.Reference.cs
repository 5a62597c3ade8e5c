namespace ReadTwice.Kernels;

public static partial class TaylorLinearAttention
{
    internal static void Reference(
        AttentionSizes sizes, float scale, In q, In k, In v, In mask, Ref S, Ref z, Ref o, Ref den)
    {
        var (B, T, H, K, V) = sizes;
        int F = sizes.F;
        Ref queries = new float[F], keys = new float[F];
        for (int b = 0; b < B; b++)
            for (int h = 0; h < H; h++)
                for (int t = 0; t < T; t++)
                {
                    int row = (b * T + t) * H + h;
                    TaylorFeatureMap.Queries(q.Slice(row * K, K), scale, queries);
                    Keys(k.Slice(row * K, K), Weight(mask, b * T + t), keys);
                    Ref sum = o.Slice(row * V, V);
                    sum.Clear();
                    float norm = Epsilon;
                    for (int f = 0; f < F; f++)
                    {
                        Ref s = S.Slice(((b * H + h) * F + f) * V, V);
                        norm += queries[f] * (z[(b * H + h) * F + f] += keys[f]);
                        for (int j = 0; j < V; j++) sum[j] += queries[f] * (s[j] += keys[f] * v[row * V + j]);
                    }
                    for (int j = 0; j < V; j++) sum[j] /= norm;
                    if (!den.IsEmpty) den[row] = norm;
                }
    }

    /// <summary>
    /// With n = φ(q)S, d = φ(q)·z and o = n/d: dn = do/d and dd = -(do·o)/d reach φ(q) through the state that token read,
    /// and φ(k), v through R and r, the gradient of the state that token left.
    /// </summary>
    internal static void ReferenceBackward(
        AttentionSizes sizes, float scale, In q, In k, In v, In mask, In o, In den, In S0, In z0, In dO, In dS, In dz,
        Ref dq, Ref dk, Ref dv, Ref dS0, Ref dz0)
    {
        var (B, T, H, K, V) = sizes;
        int F = sizes.F;
        Ref S = S0.ToArray(), z = z0.ToArray(), R = dS0, r = dz0;
        R.Clear();
        r.Clear();
        dS.CopyTo(R);
        dz.CopyTo(r);
        dv.Clear();
        Ref features = new float[F], gradient = new float[F], dn = new float[V];

        for (int b = 0; b < B; b++)
            for (int h = 0; h < H; h++)
            {
                int head = (b * H + h) * F;
                for (int t = 0; t < T; t++)
                {
                    int row = (b * T + t) * H + h;
                    Keys(k.Slice(row * K, K), Weight(mask, b * T + t), features);
                    float dd = Numerators(dO.Slice(row * V, V), o.Slice(row * V, V), den[row], dn);
                    for (int f = 0; f < F; f++)
                    {
                        gradient[f] = dd * (z[head + f] += features[f]);
                        Ref s = S.Slice((head + f) * V, V);
                        for (int j = 0; j < V; j++) gradient[f] += dn[j] * (s[j] += features[f] * v[row * V + j]);
                    }
                    Chain(q.Slice(row * K, K), scale, 1, scale, gradient, dq.Slice(row * K, K));
                }
                for (int t = T - 1; t >= 0; t--)
                {
                    int row = (b * T + t) * H + h;
                    TaylorFeatureMap.Queries(q.Slice(row * K, K), scale, features);
                    float dd = Numerators(dO.Slice(row * V, V), o.Slice(row * V, V), den[row], dn);
                    for (int f = 0; f < F; f++)
                    {
                        r[head + f] += features[f] * dd;
                        for (int j = 0; j < V; j++) R[(head + f) * V + j] += features[f] * dn[j];
                    }
                    ReferenceWriteBackward(k.Slice(row * K, K), v.Slice(row * V, V), Weight(mask, b * T + t),
                        R.Slice(head * V, F * V), r.Slice(head, F), dk.Slice(row * K, K), dv.Slice(row * V, V));
                }
            }
    }

    /// <summary>The gradient of one token that was added to a state, given that of the state, dS [F, V] and dz [F].</summary>
    internal static void ReferenceWriteBackward(In k, In v, float weight, In dS, In dz, Ref dk, Ref dv)
    {
        int F = dz.Length, V = v.Length;
        Ref features = new float[F], gradient = new float[F];
        Keys(k, weight, features);
        dv.Clear();
        for (int f = 0; f < F; f++)
        {
            gradient[f] = dz[f];
            for (int j = 0; j < V; j++)
            {
                gradient[f] += dS[f * V + j] * v[j];
                dv[j] += dS[f * V + j] * features[f];
            }
        }
        Chain(k, 1, 2, weight, gradient, dk);
    }

    /// <summary>The weighted features of a key, as they are added to a state.</summary>
    internal static void Keys(In k, float weight, Ref features)
    {
        TaylorFeatureMap.Keys(k, features);
        foreach (ref float feature in features) feature *= weight;
    }

    /// <summary>The weight of a token: one where no mask is given.</summary>
    internal static float Weight(In mask, int token) => mask.IsEmpty ? 1 : mask[token];

    private static float Numerators(In dO, In o, float den, Ref dn)
    {
        float dd = 0;
        for (int j = 0; j < o.Length; j++)
        {
            dn[j] = dO[j] / den;
            dd -= dn[j] * o[j];
        }
        return dd;
    }

    /// <summary>dx = factor · ∂features/∂x · gradient, where x is scaled and d(xᵢxᵢ) = square · xᵢ.</summary>
    private static void Chain(In x, float scale, float square, float factor, In gradient, Ref dx)
    {
        int K = x.Length;
        for (int i = 0; i < K; i++)
        {
            float sum = gradient[1 + i];
            for (int j = 0; j < K; j++)
            {
                float g = gradient[TaylorFeatureMap.Row(K, Math.Max(i, j)) + Math.Min(i, j)];
                sum += g * scale * x[j] * (i == j ? square : 1);
            }
            dx[i] = factor * sum;
        }
    }
}
