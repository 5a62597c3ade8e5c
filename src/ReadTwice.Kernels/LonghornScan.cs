namespace ReadTwice.Kernels;

/// <summary>The recurrence of Longhorn (arXiv 2407.14207), channel by channel: S ← (1 - e k²) S + e x k, y = S·q + D x.</summary>
/// <remarks>
/// x, e and y are [B, T, I], k and q [B, T, N], D [I]; the state S [B, I, N] is advanced in place. e k² lies between 0 and 1.
/// threads = 0 uses every processor.
/// </remarks>
public static class LonghornScan
{
    private static readonly ChannelKernel kernel = ChannelKernel.Widest<ForgettingByKey>();

    /// <summary>Reads T tokens, and writes for each what it recalls from the state that includes it.</summary>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Forward(ChannelSizes sizes, In x, In e, In k, In q, In D, Ref S, Ref y, int threads = 0)
    {
        sizes.RequireInputs(x, e, k, q, D, S);
        sizes.RequireOutput(y, default);
        kernel.Read(sizes, x, e, default, k, q, D, S, y, threads);
    }

    /// <summary>The gradients of everything Forward read, given those of y and of the state it left.</summary>
    /// <remarks>S0 is the state before; dS, the gradient of the state after, may be empty. The others are overwritten.</remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Backward(
        ChannelSizes sizes, In x, In e, In k, In q, In D, In S0, In dy, In dS,
        Ref dx, Ref de, Ref dk, Ref dq, Ref dD, Ref dS0, int threads = 0)
    {
        sizes.RequireInputs(x, e, k, q, D, S0);
        sizes.RequireInputs(dx, de, dk, dq, dD, dS0);
        sizes.RequireOutput(dy, dS);
        kernel.Backward(sizes, x, e, default, k, q, D, S0, dy, dS, dx, de, default, dk, dq, dD, dS0, threads);
    }

    internal static void Reference(ChannelSizes sizes, In x, In e, In k, In q, In D, Ref S, Ref y)
    {
        var (B, T, I, N) = sizes;
        for (int b = 0; b < B; b++)
            for (int t = 0; t < T; t++)
                for (int i = 0; i < I; i++)
                {
                    int at = (b * T + t) * I + i, map = (b * T + t) * N;
                    Ref state = S.Slice((b * I + i) * N, N);
                    y[at] = D[i] * x[at];
                    for (int n = 0; n < N; n++)
                    {
                        state[n] = (1 - e[at] * k[map + n] * k[map + n]) * state[n] + e[at] * x[at] * k[map + n];
                        y[at] += state[n] * q[map + n];
                    }
                }
    }

    internal static void ReferenceBackward(
        ChannelSizes sizes, In x, In e, In k, In q, In D, In S0, In dy, In dS, Ref dx, Ref de, Ref dk, Ref dq, Ref dD, Ref dS0)
    {
        var (B, T, I, N) = sizes;
        dk.Clear();
        dq.Clear();
        dD.Clear();
        var states = new float[T + 1];   // of one channel and n
        for (int b = 0; b < B; b++)
            for (int i = 0; i < I; i++)
            {
                for (int t = 0; t < T; t++)
                {
                    int at = (b * T + t) * I + i;
                    dx[at] = D[i] * dy[at];
                    de[at] = 0;
                    dD[i] += x[at] * dy[at];
                }
                for (int n = 0; n < N; n++)
                {
                    int state = (b * I + i) * N + n;
                    states[0] = S0[state];
                    for (int t = 0; t < T; t++)
                    {
                        int at = (b * T + t) * I + i, map = (b * T + t) * N + n;
                        states[t + 1] = (1 - e[at] * k[map] * k[map]) * states[t] + e[at] * x[at] * k[map];
                    }
                    float g = dS.IsEmpty ? 0 : dS[state];   // the gradient of the state that token t left
                    for (int t = T - 1; t >= 0; t--)
                    {
                        int at = (b * T + t) * I + i, map = (b * T + t) * N + n;
                        g += dy[at] * q[map];
                        dq[map] += dy[at] * states[t + 1];
                        dk[map] += g * e[at] * (x[at] - 2 * k[map] * states[t]);
                        dx[at] += g * e[at] * k[map];
                        de[at] += g * (x[at] * k[map] - k[map] * k[map] * states[t]);
                        g *= 1 - e[at] * k[map] * k[map];
                    }
                    dS0[state] = g;
                }
            }
    }
}
