namespace ReadTwice.Kernels;

public static partial class StateSpaceDuality
{
    internal static void Reference(DualitySizes sizes, In x, In delta, In A, In Bt, In Ct, In D, Ref S, Ref y)
    {
        var (B, T, H, P, G, N) = sizes;
        for (int b = 0; b < B; b++)
            for (int t = 0; t < T; t++)
                for (int h = 0; h < H; h++)
                {
                    int token = b * T + t, at = (token * H + h) * P, map = (token * G + h / (H / G)) * N;
                    float step = delta[token * H + h], kept = MathF.Exp(step * A[h]);
                    for (int p = 0; p < P; p++) y[at + p] = D[D.Length == H ? h : h * P + p] * x[at + p];
                    for (int n = 0; n < N; n++)
                    {
                        Ref row = S.Slice(((b * H + h) * N + n) * P, P);
                        for (int p = 0; p < P; p++)
                        {
                            row[p] = kept * row[p] + Bt[map + n] * step * x[at + p];
                            y[at + p] += Ct[map + n] * row[p];
                        }
                    }
                }
    }

    internal static void ReferenceBackward(
        DualitySizes sizes, In x, In delta, In A, In Bt, In Ct, In D, In S0, In dy, In dS,
        Ref dx, Ref ddelta, Ref dA, Ref dBt, Ref dCt, Ref dD, Ref dS0)
    {
        var (B, T, H, P, G, N) = sizes;
        dA.Clear();
        dBt.Clear();
        dCt.Clear();
        dD.Clear();
        var states = new float[T + 1];   // of one head, n and p
        for (int b = 0; b < B; b++)
            for (int h = 0; h < H; h++)
            {
                for (int t = 0; t < T; t++)
                {
                    int at = (b * T + t) * H + h;
                    ddelta[at] = 0;
                    for (int p = 0; p < P; p++)
                    {
                        int skip = D.Length == H ? h : h * P + p;
                        dx[at * P + p] = D[skip] * dy[at * P + p];
                        dD[skip] += x[at * P + p] * dy[at * P + p];
                    }
                }
                for (int n = 0; n < N; n++)
                    for (int p = 0; p < P; p++)
                    {
                        int state = ((b * H + h) * N + n) * P + p;
                        states[0] = S0[state];
                        for (int t = 0; t < T; t++)
                        {
                            int at = (b * T + t) * H + h, map = ((b * T + t) * G + h / (H / G)) * N + n;
                            states[t + 1] = MathF.Exp(delta[at] * A[h]) * states[t] + Bt[map] * delta[at] * x[at * P + p];
                        }
                        float r = dS.IsEmpty ? 0 : dS[state];   // the gradient of the state that token t left
                        for (int t = T - 1; t >= 0; t--)
                        {
                            int at = (b * T + t) * H + h, map = ((b * T + t) * G + h / (H / G)) * N + n;
                            float kept = MathF.Exp(delta[at] * A[h]), value = x[at * P + p];
                            r += Ct[map] * dy[at * P + p];
                            dCt[map] += states[t + 1] * dy[at * P + p];
                            dBt[map] += r * delta[at] * value;
                            dx[at * P + p] += r * delta[at] * Bt[map];
                            ddelta[at] += r * (Bt[map] * value + states[t] * kept * A[h]);
                            dA[h] += r * states[t] * kept * delta[at];
                            r *= kept;
                        }
                        dS0[state] = r;
                    }
            }
    }
}
