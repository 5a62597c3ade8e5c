using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>RWKV-6's recurrence (arXiv 2404.05892): o = rᵀ(S + diag(bonus) k vᵀ), then S ← d ⊙ S + k vᵀ.</summary>
/// <remarks>
/// r, k and the decay d, a factor for each row of the state, are [B, T, H, K], v and o [B, T, H, V], bonus [H, K]; the state
/// S [B, H, K, V] is advanced in place. Every method computes the same values: read Reference, call Forward.
/// </remarks>
public static class Rwkv6
{
    /// <summary>Reads T tokens, and writes for each what it recalls.</summary>
    /// <remarks>threads = 0 uses every processor.</remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Forward(AttentionSizes sizes, In r, In k, In v, In decay, In bonus, Ref S, Ref o, int threads = 0) =>
        Forward(DeltaRule.Kernel, sizes, r, k, v, decay, bonus, S, o, threads);

    internal static unsafe void Forward(
        StateKernel kernel, AttentionSizes sizes, In r, In k, In v, In decay, In bonus, Ref S, Ref o, int threads)
    {
        var (B, T, H, K, _) = sizes;
        StateRule.Require(sizes, k, v, S, o);
        Shape.Require(r, [B, T, H, K]);
        Shape.Require(decay, [B, T, H, K]);
        Shape.Require(bonus, [H, K]);
        fixed (float* atR = r, atK = k, atV = v, atDecay = decay, atBonus = bonus, atS = S, atO = o)
        {
            // What reads asks the state before its token.
            var operands = new StateOperands
            {
                Sizes = sizes,
                Scale = 1,
                Decays = K,
                Asks = atR,
                K = atK,
                V = atV,
                Decay = atDecay,
                Bonus = atBonus,
                S = atS,
                O = atO,
            };
            kernel.Read<Rule>(operands, Workers.Count(threads));
        }
    }

    internal static void Reference(AttentionSizes sizes, In r, In k, In v, In decay, In bonus, Ref S, Ref o)
    {
        var (B, T, H, K, V) = sizes;
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
                            float write = k[row * K + i] * v[row * V + j];
                            o[row * V + j] += r[row * K + i] * (s + bonus[h * K + i] * write);
                            s = decay[row * K + i] * s + write;
                        }
                }
    }

    private readonly struct Rule : IStateRule
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
        public static unsafe void Read<L, R>(in StatePiece piece, nint column) where L : struct, ILanes<L> where R : struct, IRow<R, L>
        {
            float* s = piece.S + column, v = piece.V + column, o = piece.O + column, d = piece.Decay, k = piece.K, r = piece.Asks;
            R answer = StateRows<L, R>.Ask(piece, s, r);
            for (int t = 0; t < piece.Count; t++)
            {
                float own = 0;
                for (nint i = 0; i < piece.Rows; i++) own += r[i] * piece.Bonus[i] * k[i];
                R value = R.Load(v);
                R.MultiplyAdd(L.Create(own), value, answer).Store(o);
                if (t < piece.Count - 1) r += piece.AskStep;
                answer = StateRows<L, R>.Write(piece, s, d, k, value, r);
                v += piece.Width;
                o += piece.Width;
                d += piece.DecayStep;
                k += piece.Step;
            }
        }
    }
}
