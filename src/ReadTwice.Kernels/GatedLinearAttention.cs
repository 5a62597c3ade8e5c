namespace ReadTwice.Kernels;

/// <summary>
/// Causal linear attention whose state may fade (GLA, RetNet, HGRN2, GSA and others): S ← e^g ⊙ S + k vᵀ, o = scale · Sᵀ q.
/// </summary>
/// <remarks>
/// q and k are [B, T, H, K], v and o [B, T, H, V]; the state S [B, H, K, V] is advanced in place. The logarithm g of the decay, at
/// most 0, belongs to a row of the state (keyDecay, [B, T, H, K]), to all of it (keyDecay, [B, T, H]), to a column (valueDecay,
/// [B, T, H, V]), or is empty for none. Every method computes the same values: read Reference, call Forward.
/// </remarks>
public static class GatedLinearAttention
{
    internal static readonly GatedKernel Kernel = GatedKernel.Widest();

    /// <summary>Reads T tokens, and writes for each what it recalls from the state that includes it.</summary>
    /// <remarks>At most one decay is given. threads = 0 uses every processor.</remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says, or both decays are given.</exception>
    public static void Forward(
        AttentionSizes sizes, float scale, In q, In k, In v, In keyDecay, In valueDecay, Ref S, Ref o, int threads = 0) =>
        Forward(Kernel, sizes, scale, q, k, v, keyDecay, valueDecay, S, o, threads);

    internal static unsafe void Forward(
        GatedKernel kernel, AttentionSizes sizes, float scale, In q, In k, In v, In keyDecay, In valueDecay, Ref S, Ref o, int threads)
    {
        var (B, T, H, K, V) = sizes;
        if (B < 1 || T < 1 || H < 1 || K < 1 || V < 1)
            throw new ArgumentException($"Attention needs sizes of one or more, not {sizes}.", nameof(sizes));
        Shape.Require(q, [B, T, H, K]);
        Shape.Require(k, [B, T, H, K]);
        Shape.Require(v, [B, T, H, V]);
        Shape.Require(S, [B, H, K, V]);
        Shape.Require(o, [B, T, H, V]);
        bool wholeHeads = keyDecay.Length == B * T * H;
        if (!keyDecay.IsEmpty && !wholeHeads) Shape.Require(keyDecay, [B, T, H, K]);
        if (!valueDecay.IsEmpty) Shape.Require(valueDecay, [B, T, H, V]);
        if (!keyDecay.IsEmpty && !valueDecay.IsEmpty)
            throw new ArgumentException("A state fades by rows or by columns; a keyDecay and a valueDecay are given.", nameof(valueDecay));

        fixed (float* atQ = q, atK = k, atV = v, atS = S, atO = o, atDecay = valueDecay.IsEmpty ? keyDecay : valueDecay)
        {
            var fading = !valueDecay.IsEmpty ? Fading.Columns : keyDecay.IsEmpty ? Fading.None : wholeHeads ? Fading.Heads : Fading.Rows;
            kernel.Read(new() { Sizes = sizes, Scale = scale, Fading = fading, Q = atQ, K = atK, V = atV, Decay = atDecay, S = atS, O = atO },
                Workers.Count(threads));
        }
    }

    internal static void Reference(
        AttentionSizes sizes, float scale, In q, In k, In v, In keyDecay, In valueDecay, Ref S, Ref o)
    {
        var (B, T, H, K, V) = sizes;
        int keyDecays = keyDecay.Length / (B * T * H);
        o.Clear();
        for (int b = 0; b < B; b++)
            for (int t = 0; t < T; t++)
                for (int h = 0; h < H; h++)
                {
                    int row = (b * T + t) * H + h;
                    for (int i = 0; i < K; i++)
                        for (int j = 0; j < V; j++)
                        {
                            ref float s = ref S[((b * H + h) * K + i) * V + j];
                            if (!keyDecay.IsEmpty) s *= MathF.Exp(keyDecay[row * keyDecays + i % keyDecays]);
                            if (!valueDecay.IsEmpty) s *= MathF.Exp(valueDecay[row * V + j]);
                            s += k[row * K + i] * v[row * V + j];
                            o[row * V + j] += scale * q[row * K + i] * s;
                        }
                }
    }
}
