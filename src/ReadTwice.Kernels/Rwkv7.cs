using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>RWKV-7's recurrence (arXiv 2503.14456): S ← d ⊙ S + b (aᵀS) + k vᵀ, where a asks the state before it decays; o = rᵀS.</summary>
/// <remarks>
/// r, k, a and b are [B, T, H, K], v and o [B, T, H, V]; the state S [B, H, K, V] is advanced in place. The factor d of what stays
/// belongs to a row of the state (decay [B, T, H, K]) or to all of it (decay [B, T, H]), or is empty for none. Every method computes
/// the same values: read Reference, call Forward. The delta rule is this with b = -β k and β v for v.
/// </remarks>
public static class Rwkv7
{
    /// <summary>Reads T tokens, and writes for each what it recalls from the state that includes it.</summary>
    /// <remarks>threads = 0 uses every processor.</remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Forward(AttentionSizes sizes, In r, In decay, In k, In v, In a, In b, Ref S, Ref o, int threads = 0) =>
        Forward(DeltaRule.Kernel, sizes, r, decay, k, v, a, b, S, o, threads);

    /// <summary>The gradients of everything Forward read, given those of o and of the state it left.</summary>
    /// <remarks>S0 is the state before Forward; dS, the gradient of the one after it, may be empty. What is asked for is overwritten.</remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Backward(
        AttentionSizes sizes, In r, In decay, In k, In v, In a, In b, In S0, In dO, In dS,
        Ref dr, Ref ddecay, Ref dk, Ref dv, Ref da, Ref db, Ref dS0, int threads = 0) =>
        Backward(DeltaRule.Kernel, sizes, r, decay, k, v, a, b, S0, dO, dS, dr, ddecay, dk, dv, da, db, dS0, threads);

    internal static unsafe void Forward(
        StateKernel kernel, AttentionSizes sizes, In r, In decay, In k, In v, In a, In b, Ref S, Ref o, int threads)
    {
        Require(sizes, r, decay, k, v, a, b, S, o);
        fixed (float* atR = r, atDecay = decay, atK = k, atV = v, atA = a, atB = b, atS = S, atO = o)
            kernel.Read<Rule>(Operands(sizes, decay.Length, atR, atDecay, atK, atV, atA, atB, atS, atO), Workers.Count(threads));
    }

    internal static unsafe void Backward(
        StateKernel kernel, AttentionSizes sizes, In r, In decay, In k, In v, In a, In b, In S0, In dO, In dS,
        Ref dr, Ref ddecay, Ref dk, Ref dv, Ref da, Ref db, Ref dS0, int threads)
    {
        Require(sizes, r, decay, k, v, a, b, S0, dO);
        Require(sizes, dr, ddecay, dk, dv, da, db, dS0, dO);
        if (!dS.IsEmpty) Shape.Require(dS, [sizes.B, sizes.H, sizes.K, sizes.V]);
        Shape.Require(ddecay, [decay.Length]);
        dr.Clear();
        ddecay.Clear();
        dk.Clear();
        da.Clear();
        db.Clear();
        fixed (float* atR = r, atDecay = decay, atK = k, atV = v, atA = a, atB = b, atS = S0, atDO = dO)
        fixed (float* atDR = dr, atDDecay = ddecay, atDK = dk, atDV = dv, atDA = da, atDB = db, atDS0 = dS0, atDS = dS)
            kernel.ReadBack(
                Operands(sizes, decay.Length, atR, atDecay, atK, atV, atA, atB, atS, atDO),
                Operands(sizes, decay.Length, atDR, atDDecay, atDK, atDV, atDA, atDB, atDS0, null), atDS, Workers.Count(threads));
    }

    internal static void Reference(AttentionSizes sizes, In r, In decay, In k, In v, In a, In b, Ref S, Ref o)
    {
        var (B, T, H, K, V) = sizes;
        Ref answer = new float[V];
        o.Clear();
        for (int n = 0; n < B; n++)
            for (int t = 0; t < T; t++)
                for (int h = 0; h < H; h++)
                {
                    int row = (n * T + t) * H + h;
                    Ref state = S.Slice((n * H + h) * K * V, K * V);
                    Answer(state, a.Slice(row * K, K), answer);
                    for (int i = 0; i < K; i++)
                        for (int j = 0; j < V; j++)
                        {
                            ref float s = ref state[i * V + j];
                            s = Factor(sizes, decay, row, i) * s + b[row * K + i] * answer[j] + k[row * K + i] * v[row * V + j];
                            o[row * V + j] += r[row * K + i] * s;
                        }
                }
    }

    /// <summary>
    /// G is the gradient of the state after a token: G ← G + r doᵀ, then with y = aᵀS and e = bᵀG, where S is the state before the
    /// token, dv = kᵀG, dk = G v, db = G y, da = S e, and the gradient of the state before the token is d ⊙ G + a eᵀ.
    /// </summary>
    internal static void ReferenceBackward(
        AttentionSizes sizes, In r, In decay, In k, In v, In a, In b, In S0, In dO, In dS,
        Ref dr, Ref ddecay, Ref dk, Ref dv, Ref da, Ref db, Ref dS0)
    {
        var (B, T, H, K, V) = sizes;
        int decays = decay.Length / (B * T * H);
        var states = new float[T + 1][];
        states[0] = S0.ToArray();
        for (int t = 0; t < T; t++)
        {
            states[t + 1] = [.. states[t]];
            for (int n = 0; n < B; n++)
            {
                Range keys = Rows(n * T + t, H * K), values = Rows(n * T + t, H * V), factors = Rows(n * T + t, H * decays);
                Reference(
                    sizes with { B = 1, T = 1 }, r[keys], decay[factors], k[keys], v[values], a[keys], b[keys],
                    states[t + 1].AsSpan(n * H * K * V, H * K * V), new float[H * V]);
            }
        }

        dr.Clear();
        ddecay.Clear();
        dk.Clear();
        da.Clear();
        db.Clear();
        Ref y = new float[V], e = new float[V];
        dS0.Clear();
        dS.CopyTo(dS0);
        for (int n = 0; n < B; n++)
            for (int t = T - 1; t >= 0; t--)
                for (int h = 0; h < H; h++)
                {
                    int row = (n * T + t) * H + h, head = (n * H + h) * K * V;
                    In before = states[t].AsSpan(head, K * V), after = states[t + 1].AsSpan(head, K * V);
                    Ref G = dS0.Slice(head, K * V);
                    for (int i = 0; i < K; i++)
                        for (int j = 0; j < V; j++) G[i * V + j] += r[row * K + i] * dO[row * V + j];
                    Answer(before, a.Slice(row * K, K), y);
                    Answer(G, b.Slice(row * K, K), e);
                    Answer(G, k.Slice(row * K, K), dv.Slice(row * V, V));
                    for (int i = 0; i < K; i++)
                        for (int j = 0; j < V; j++)
                        {
                            ref float g = ref G[i * V + j];
                            dr[row * K + i] += after[i * V + j] * dO[row * V + j];
                            dk[row * K + i] += g * v[row * V + j];
                            db[row * K + i] += g * y[j];
                            da[row * K + i] += before[i * V + j] * e[j];
                            if (decays > 0) ddecay[row * decays + i % decays] += g * before[i * V + j];
                            g = Factor(sizes, decay, row, i) * g + a[row * K + i] * e[j];
                        }
                }
    }

    private static Range Rows(int token, int width) => (token * width)..((token + 1) * width);

    // answer = aᵀS
    private static void Answer(In S, In a, Ref answer)
    {
        answer.Clear();
        for (int i = 0; i < a.Length; i++)
            for (int j = 0; j < answer.Length; j++) answer[j] += a[i] * S[i * answer.Length + j];
    }

    private static float Factor(AttentionSizes sizes, In decay, int row, int i)
    {
        int decays = decay.Length / (sizes.B * sizes.T * sizes.H);
        return decays == 0 ? 1 : decay[row * decays + i % decays];
    }

    private static unsafe StateOperands Operands(
        AttentionSizes sizes, int decays, float* r, float* decay, float* k, float* v, float* a, float* b, float* S, float* o) => new()
        {
            Sizes = sizes,
            Scale = 1,
            Decays = decays / (sizes.B * sizes.T * sizes.H),
            Q = r,
            K = k,
            V = v,
            Decay = decay,
            Asks = a,
            Rewrites = b,
            S = S,
            O = o,
        };

    private static void Require(AttentionSizes sizes, In r, In decay, In k, In v, In a, In b, In S, In o)
    {
        var (B, T, H, K, _) = sizes;
        StateRule.Require(sizes, k, v, S, o);
        Shape.Require(r, [B, T, H, K]);
        if (!decay.IsEmpty && decay.Length != B * T * H) Shape.Require(decay, [B, T, H, K]);
        Shape.Require(a, [B, T, H, K]);
        Shape.Require(b, [B, T, H, K]);
    }

    private readonly struct Rule : IStateRule
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
        public static unsafe void Read<L, R>(in StatePiece piece, nint column) where L : struct, ILanes<L> where R : struct, IRow<R, L>
        {
            float* s = piece.S + column, v = piece.V + column, o = piece.O + column, d = piece.Decay, k = piece.K, r = piece.Q;
            float* a = piece.Asks, b = piece.Rewrites;
            R answer = StateRows<L, R>.Ask(piece, s, a);
            for (int t = 0; t < piece.Count; t++)
            {
                if (t < piece.Count - 1) a += piece.AskStep;
                answer = StateRows<L, R>.Write(piece, s, d, k, R.Load(v), b, answer, r, a, out R read);
                read.Store(o);
                v += piece.Width;
                o += piece.Width;
                d += piece.DecayStep;
                k += piece.Step;
                r += piece.Step;
                b += piece.Step;
            }
        }
    }
}
