namespace ReadTwice.Kernels;

/// <summary>
/// RWKV-4's average of all values so far (arXiv 2305.13048), channel by channel: each value is weighted by e^key and fades by e^w
/// with every token, and the current one's key is raised by u.
/// </summary>
/// <remarks>
/// k, v and y are [B, T, D], w and u [D]; the state, advanced in place, is num (the sum with values), den (without) and max (the
/// logarithm of the unit of both), each [B, D]. No result depends on the unit, so it has no gradient. Every method computes the
/// same values: read Reference, call Forward.
/// </remarks>
public static class Rwkv4
{
    /// <summary>Reads T tokens, and writes for each the average that it sees.</summary>
    /// <remarks>threads = 0 uses every processor.</remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static unsafe void Forward(
        int B, int T, int D, In k, In v, In w, In u, Ref num, Ref den, Ref max, Ref y, int threads = 0)
    {
        Require(B, T, D, k, v, w, u, num, den, max);
        Shape.Require(y, [B, T, D]);
        fixed (float* atK = k, atV = v, atW = w, atU = u, atNum = num, atDen = den, atMax = max, atY = y)
            Rwkv4Channels.Read(
                new() { B = B, T = T, D = D, K = atK, V = atV, W = atW, U = atU, Num = atNum, Den = atDen, Max = atMax, Y = atY }, Workers.Count(threads));
    }

    /// <summary>The gradients of everything Forward read, given those of y and of the state it left.</summary>
    /// <remarks>num, den and max are the state before Forward; what is asked for is overwritten.</remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static unsafe void Backward(
        int B, int T, int D, In k, In v, In w, In u, In num, In den, In max, In dy, In dnum, In dden,
        Ref dk, Ref dv, Ref dw, Ref du, Ref dnum0, Ref dden0, int threads = 0)
    {
        Require(B, T, D, k, v, w, u, num, den, max);
        Shape.Require(dy, [B, T, D]);
        Shape.Require(dnum, [B, D]);
        Shape.Require(dden, [B, D]);
        Require(B, T, D, dk, dv, dw, du, dnum0, dden0, max);
        fixed (float* atK = k, atV = v, atW = w, atU = u, atNum = num, atDen = den, atMax = max, atDY = dy, atDNum = dnum, atDDen = dden)
        fixed (float* atDK = dk, atDV = dv, atDW = dw, atDU = du, atDNum0 = dnum0, atDDen0 = dden0)
            Rwkv4Channels.ReadBack(
                new() { B = B, T = T, D = D, K = atK, V = atV, W = atW, U = atU, Num = atNum, Den = atDen, Max = atMax, Y = atDY },
                new() { B = B, T = T, D = D, K = atDK, V = atDV, W = atDW, U = atDU, Num = atDNum0, Den = atDDen0 },
                atDNum, atDDen, Workers.Count(threads));
    }

    internal static void Reference(int B, int T, int D, In k, In v, In w, In u, Ref num, Ref den, Ref max, Ref y)
    {
        for (int b = 0; b < B; b++)
            for (int t = 0; t < T; t++)
                for (int c = 0; c < D; c++)
                {
                    int at = (b * T + t) * D + c, sum = b * D + c;
                    float unit = Math.Max(max[sum], k[at] + u[c]);
                    float past = MathF.Exp(max[sum] - unit), own = MathF.Exp(k[at] + u[c] - unit);
                    y[at] = (past * num[sum] + own * v[at]) / (past * den[sum] + own);

                    unit = Math.Max(max[sum] + w[c], k[at]);
                    (past, own) = (MathF.Exp(max[sum] + w[c] - unit), MathF.Exp(k[at] - unit));
                    (num[sum], den[sum], max[sum]) = (past * num[sum] + own * v[at], past * den[sum] + own, unit);
                }
    }

    private static void Require(int B, int T, int D, In k, In v, In w, In u, In num, In den, In max)
    {
        if (B < 1 || T < 1 || D < 1) throw new ArgumentException($"The average needs sizes of one or more, not B = {B}, T = {T}, D = {D}.", nameof(T));
        Shape.Require(k, [B, T, D]);
        Shape.Require(v, [B, T, D]);
        Shape.Require(w, [D]);
        Shape.Require(u, [D]);
        Shape.Require(num, [B, D]);
        Shape.Require(den, [B, D]);
        Shape.Require(max, [B, D]);
    }
}
