namespace ReadTwice.Kernels;

/// <summary>The selective scan of Mamba (arXiv 2312.00752), channel by channel: h ← exp(Δ A) h + Δ x B, y = h·C + D x.</summary>
/// <remarks>
/// x, delta and y are [B, T, I], A [I, N], Bt and Ct [B, T, N], D [I]; the state h [B, I, N] is advanced in place. delta is not
/// negative and A negative. threads = 0 uses every processor.
/// </remarks>
public static class SelectiveScan
{
    private static readonly ChannelKernel kernel = ChannelKernel.Widest<ExponentialDecay>();

    /// <summary>Reads T tokens, and writes for each what it recalls from the state that includes it.</summary>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Forward(ChannelSizes sizes, In x, In delta, In A, In Bt, In Ct, In D, Ref h, Ref y, int threads = 0)
    {
        sizes.RequireInputs(x, delta, Bt, Ct, D, h);
        sizes.RequireOutput(y, default);
        Shape.Require(A, [sizes.I, sizes.N]);
        kernel.Read(sizes, x, delta, A, Bt, Ct, D, h, y, threads);
    }

    /// <summary>The gradients of everything Forward read, given those of y and of the state it left.</summary>
    /// <remarks>h0 is the state before; dh, the gradient of the state after, may be empty. The others are overwritten.</remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Backward(
        ChannelSizes sizes, In x, In delta, In A, In Bt, In Ct, In D, In h0, In dy, In dh,
        Ref dx, Ref ddelta, Ref dA, Ref dBt, Ref dCt, Ref dD, Ref dh0, int threads = 0)
    {
        sizes.RequireInputs(x, delta, Bt, Ct, D, h0);
        sizes.RequireInputs(dx, ddelta, dBt, dCt, dD, dh0);
        sizes.RequireOutput(dy, dh);
        Shape.Require(A, [sizes.I, sizes.N]);
        Shape.Require(dA, [sizes.I, sizes.N]);
        kernel.Backward(sizes, x, delta, A, Bt, Ct, D, h0, dy, dh, dx, ddelta, dA, dBt, dCt, dD, dh0, threads);
    }

    internal static void Reference(ChannelSizes sizes, In x, In delta, In A, In Bt, In Ct, In D, Ref h, Ref y)
    {
        var (B, T, I, N) = sizes;
        for (int b = 0; b < B; b++)
            for (int t = 0; t < T; t++)
                for (int i = 0; i < I; i++)
                {
                    int at = (b * T + t) * I + i, map = (b * T + t) * N;
                    Ref state = h.Slice((b * I + i) * N, N);
                    y[at] = D[i] * x[at];
                    for (int n = 0; n < N; n++)
                    {
                        state[n] = MathF.Exp(delta[at] * A[i * N + n]) * state[n] + delta[at] * x[at] * Bt[map + n];
                        y[at] += state[n] * Ct[map + n];
                    }
                }
    }

    internal static void ReferenceBackward(
        ChannelSizes sizes, In x, In delta, In A, In Bt, In Ct, In D, In h0, In dy, In dh,
        Ref dx, Ref ddelta, Ref dA, Ref dBt, Ref dCt, Ref dD, Ref dh0)
    {
        var (B, T, I, N) = sizes;
        dA.Clear();
        dBt.Clear();
        dCt.Clear();
        dD.Clear();
        var states = new float[T + 1];   // of one channel and n
        for (int b = 0; b < B; b++)
            for (int i = 0; i < I; i++)
            {
                for (int t = 0; t < T; t++)
                {
                    int at = (b * T + t) * I + i;
                    dx[at] = D[i] * dy[at];
                    ddelta[at] = 0;
                    dD[i] += x[at] * dy[at];
                }
                for (int n = 0; n < N; n++)
                {
                    int state = (b * I + i) * N + n;
                    states[0] = h0[state];
                    for (int t = 0; t < T; t++)
                    {
                        int at = (b * T + t) * I + i;
                        states[t + 1] = MathF.Exp(delta[at] * A[i * N + n]) * states[t] + delta[at] * x[at] * Bt[(b * T + t) * N + n];
                    }
                    float g = dh.IsEmpty ? 0 : dh[state];   // the gradient of the state that token t left
                    for (int t = T - 1; t >= 0; t--)
                    {
                        int at = (b * T + t) * I + i, map = (b * T + t) * N + n;
                        float kept = MathF.Exp(delta[at] * A[i * N + n]);
                        g += dy[at] * Ct[map];
                        dCt[map] += dy[at] * states[t + 1];
                        dBt[map] += g * delta[at] * x[at];
                        dx[at] += g * delta[at] * Bt[map];
                        ddelta[at] += g * (x[at] * Bt[map] + states[t] * kept * A[i * N + n]);
                        dA[i * N + n] += g * states[t] * kept * delta[at];
                        g *= kept;
                    }
                    dh0[state] = g;
                }
            }
    }
}
