using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>
/// The delta rule: S ← d ⊙ S; u = β (v - kᵀS); S ← S + k uᵀ; o = scale · qᵀS. A token writes what the state does not already
/// answer to its key (DeltaNet, Gated DeltaNet, KDA); with asks p, u = β (v - pᵀS) before the decay (Comba).
/// </summary>
/// <remarks>
/// q, k and asks are [B, T, H, K], v and o [B, T, H, V], beta [B, T, H]; the state S [B, H, K, V] is advanced in place. The factor d
/// of what stays belongs to a row of the state (decay [B, T, H, K]) or to all of it (decay [B, T, H]), or is empty for none. asks
/// may be empty. Every method computes the same values: read Reference, call Forward.
/// </remarks>
public static class DeltaRule
{
    internal static readonly StateKernel Kernel = StateKernel.Widest();

    /// <summary>Reads T tokens, and writes for each what it recalls from the state that includes it.</summary>
    /// <remarks>threads = 0 uses every processor.</remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Forward(
        AttentionSizes sizes, float scale, In q, In k, In v, In beta, In decay, In asks, Ref S, Ref o, int threads = 0) =>
        Forward(Kernel, sizes, scale, q, k, v, beta, decay, asks, S, o, threads);

    internal static unsafe void Forward(
        StateKernel kernel, AttentionSizes sizes, float scale, In q, In k, In v, In beta, In decay, In asks, Ref S, Ref o, int threads)
    {
        Require(sizes, q, k, v, beta, decay, asks, S, o);
        fixed (float* atQ = q, atK = k, atV = v, atBeta = beta, atDecay = decay, atAsks = asks, atS = S, atO = o)
        {
            var operands = new StateOperands
            {
                Sizes = sizes,
                Scale = scale,
                Decays = decay.Length / (sizes.B * sizes.T * sizes.H),
                AsksKeys = asks.IsEmpty,
                Q = atQ,
                K = atK,
                V = atV,
                Beta = atBeta,
                Decay = atDecay,
                Asks = atAsks,
                S = atS,
                O = atO,
            };
            kernel.Read<Rule>(operands, Workers.Count(threads));
        }
    }

    internal static void Reference(AttentionSizes sizes, float scale, In q, In k, In v, In beta, In decay, In asks, Ref S, Ref o)
    {
        var (B, T, H, K, V) = sizes;
        int decays = decay.Length / (B * T * H);
        Ref u = new float[V];
        for (int b = 0; b < B; b++)
            for (int t = 0; t < T; t++)
                for (int h = 0; h < H; h++)
                {
                    int row = (b * T + t) * H + h;
                    In key = k.Slice(row * K, K), query = q.Slice(row * K, K);
                    Ref state = S.Slice((b * H + h) * K * V, K * V), sum = o.Slice(row * V, V);
                    v.Slice(row * V, V).CopyTo(u);
                    if (!asks.IsEmpty) Answer(state, asks.Slice(row * K, K), u);
                    for (int i = 0; decays > 0 && i < K * V; i++) state[i] *= decay[row * decays + i / V % decays];
                    if (asks.IsEmpty) Answer(state, key, u);
                    sum.Clear();
                    for (int i = 0; i < K; i++)
                        for (int j = 0; j < V; j++) sum[j] += scale * query[i] * (state[i * V + j] += key[i] * beta[row] * u[j]);
                }

        // u ← u - aᵀS
        static void Answer(In state, In a, Ref u)
        {
            for (int i = 0; i < a.Length; i++)
                for (int j = 0; j < u.Length; j++) u[j] -= a[i] * state[i * u.Length + j];
        }
    }

    private static void Require(AttentionSizes sizes, In q, In k, In v, In beta, In decay, In asks, In S, In o)
    {
        var (B, T, H, K, V) = sizes;
        StateRule.Require(sizes, k, v, S, o);
        Shape.Require(q, [B, T, H, K]);
        Shape.Require(beta, [B, T, H]);
        if (!decay.IsEmpty && decay.Length != B * T * H) Shape.Require(decay, [B, T, H, K]);
        if (!asks.IsEmpty) Shape.Require(asks, [B, T, H, K]);
    }

    private readonly struct Rule : IStateRule
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
        public static unsafe void Read<L, R>(in StatePiece piece, nint column) where L : struct, ILanes<L> where R : struct, IRow<R, L>
        {
            float* s = piece.S + column, v = piece.V + column, o = piece.O + column, d = piece.Decay, k = piece.K, q = piece.Q;
            float* asks = piece.Asks, beta = piece.Beta;
            R answer = StateRows<L, R>.Ask(piece, s, asks);
            for (int t = 0; t < piece.Count; t++)
            {
                if (t < piece.Count - 1) asks += piece.AskStep;
                R u = R.MultiplyAdd(L.Create(-*beta), answer, R.Scale(L.Create(*beta), R.Load(v)));
                answer = StateRows<L, R>.Write(piece, s, d, k, u, q, asks, out R read);
                read.Store(o);
                v += piece.Width;
                o += piece.Width;
                d += piece.DecayStep;
                k += piece.Step;
                q += piece.Step;
                beta += piece.BetaStep;
            }
        }
    }
}
