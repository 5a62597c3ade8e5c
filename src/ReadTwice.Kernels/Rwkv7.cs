using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>RWKV-7's recurrence (arXiv 2503.14456): S ← d ⊙ S + b (aᵀS) + k vᵀ, where a asks the state before it decays; o = rᵀS.</summary>
/// <remarks>
/// r, k, a, b and the decay d, a factor for each row of the state, are [B, T, H, K], v and o [B, T, H, V]; the state S [B, H, K, V]
/// is advanced in place. Every method computes the same values: read Reference, call Forward.
/// </remarks>
public static class Rwkv7
{
    /// <summary>Reads T tokens, and writes for each what it recalls from the state that includes it.</summary>
    /// <remarks>threads = 0 uses every processor.</remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Forward(AttentionSizes sizes, In r, In decay, In k, In v, In a, In b, Ref S, Ref o, int threads = 0) =>
        Forward(DeltaRule.Kernel, sizes, r, decay, k, v, a, b, S, o, threads);

    internal static unsafe void Forward(
        StateKernel kernel, AttentionSizes sizes, In r, In decay, In k, In v, In a, In b, Ref S, Ref o, int threads)
    {
        var (B, T, H, K, _) = sizes;
        StateRule.Require(sizes, k, v, S, o);
        Shape.Require(r, [B, T, H, K]);
        Shape.Require(decay, [B, T, H, K]);
        Shape.Require(a, [B, T, H, K]);
        Shape.Require(b, [B, T, H, K]);
        fixed (float* atR = r, atK = k, atV = v, atDecay = decay, atA = a, atB = b, atS = S, atO = o)
        {
            var operands = new StateOperands
            {
                Sizes = sizes,
                Scale = 1,
                Decays = K,
                Q = atR,
                K = atK,
                V = atV,
                Decay = atDecay,
                Asks = atA,
                Rewrites = atB,
                S = atS,
                O = atO,
            };
            kernel.Read<Rule>(operands, Workers.Count(threads));
        }
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
                    answer.Clear();
                    for (int i = 0; i < K; i++)
                        for (int j = 0; j < V; j++) answer[j] += a[row * K + i] * state[i * V + j];
                    for (int i = 0; i < K; i++)
                        for (int j = 0; j < V; j++)
                        {
                            ref float s = ref state[i * V + j];
                            s = decay[row * K + i] * s + b[row * K + i] * answer[j] + k[row * K + i] * v[row * V + j];
                            o[row * V + j] += r[row * K + i] * s;
                        }
                }
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
