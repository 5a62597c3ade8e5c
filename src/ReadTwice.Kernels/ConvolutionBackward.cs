using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>Goes through the tokens once, some channels at a time, with the gradients before the filter of the last K of them at hand.</summary>
internal static unsafe class ConvolutionBackward<L> where L : struct, ILanes<L>
{
    private const int Channels = 256;

    public static void Run(ConvolutionOperands operands, ConvolutionOperands gradients, float* dState, int threads)
    {
        int C = operands.Sizes.C, blocks = Math.Max(1, C / Channels);
        nint end = (nint)dState;
        Workers.Run(blocks, Workers.Count(threads), i => Block(operands, gradients, (float*)end, Start(i), Start(i + 1)));

        int Start(int i) => i == blocks ? C : (int)((long)C * i / blocks) / L.Count * L.Count;
    }

    private static void Block(ConvolutionOperands operands, ConvolutionOperands gradients, float* dState, int first, int next)
    {
        var (B, T, C, K) = operands.Sizes;
        int n = next - first, before = K - 1;
        using var scratch = Scratch.For(scratch => new Buffers(n, K, scratch), out var buffers);
        Transpose.Copy(operands.Weight + (nint)first * K, K, n, K, 1, buffers.Weight, n);
        if (operands.Bias == null) new Ref(buffers.Bias, n).Clear();
        else new In(operands.Bias + first, n).CopyTo(new(buffers.Bias, n));
        new Ref(buffers.DWeight, K * n).Clear();
        new Ref(buffers.DBias, n).Clear();
        for (int b = 0; b < B; b++)
        {
            float* x = operands.X + (nint)b * T * operands.XRow + first;
            nint state = ((nint)b * C + first) * before;
            Transpose.Copy(operands.State + state, before, n, before, 1, buffers.Start, n);
            for (int t = 0; t < Math.Min(T, before); t++) new In(x + (nint)t * operands.XRow, n).CopyTo(new(buffers.Start + (before + t) * n, n));
            if (dState == null) new Ref(buffers.DState, before * n).Clear();
            else Transpose.Copy(dState + state, before, n, before, 1, buffers.DState, n);
            new Ref(buffers.Ring, K * n).Clear();

            // The gradient of an input is whole when that of the last token it reached is known.
            for (int t = 0; t < T + before; t++)
            {
                float* d = buffers.Ring + t % K * n;
                nint token = (nint)b * T + t;
                if (t >= T) new Ref(d, n).Clear();
                else if (t < before) Token(operands, gradients, buffers, buffers.Start + t * n, n, token, first, n, d);
                else Token(operands, gradients, buffers, x + (nint)(t - before) * operands.XRow, operands.XRow, token, first, n, d);
                float* dx = t < before ? buffers.DStart + t * n : gradients.X + (token - before) * C + first;
                Input(buffers, t, K, n, t < T ? null : buffers.DState + (t - T) * n, dx);
            }
            Transpose.Copy(buffers.DStart, n, before, n, 1, gradients.State + state, before);
        }
        Transpose.Copy(buffers.DWeight, n, K, n, 1, gradients.Weight + (nint)first * K, K);
        if (gradients.Bias != null) new In(buffers.DBias, n).CopyTo(new(gradients.Bias + first, n));
    }

    /// <summary>Takes a token's gradient back to before the gate and the activation, and adds to those of weight and bias.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Token(
        ConvolutionOperands operands, ConvolutionOperands gradients, Buffers buffers, float* x, nint xRow, nint token, int first, nint n, float* to)
    {
        int C = operands.Sizes.C, K = operands.Sizes.K;
        float* dy = operands.Y + token * C + first, gate = operands.Gate + token * operands.GateRow + first, dGate = gradients.Gate + token * C + first;
        for (nint at = 0; at < n; at += L.Count)
        {
            nint c = Math.Min(at, n - L.Count);
            L d = L.Load(dy + c), sum = L.Load(buffers.Bias + c);
            for (int k = 0; k < K; k++) sum = L.MultiplyAdd(L.Load(buffers.Weight + k * n + c), L.Load(x + k * xRow + c), sum);
            L sigmoid = operands.Silu ? Sigmoid.Of(sum) : L.Create(1);
            if (operands.Gate != null)
            {
                (d * sum * sigmoid).Store(dGate + c);
                d *= L.Load(gate + c);
            }
            if (operands.Silu) d *= Sigmoid.SiluSlope(sum, sigmoid);
            d.Store(to + c);

            if (at != c) d = L.From(d, (int)(at - c));   // what the register before has added
            (L.Load(buffers.DBias + c) + d).Store(buffers.DBias + c);
            for (int k = 0; k < K; k++)
            {
                float* sums = buffers.DWeight + k * n + c;
                L.MultiplyAdd(d, L.Load(x + k * xRow + c), L.Load(sums)).Store(sums);
            }
        }
    }

    /// <summary>The gradient of the input that the first tap of token t meets, from the tokens it reached and the state it is left in.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Input(Buffers buffers, int t, int K, nint n, float* dState, float* dx)
    {
        for (nint at = 0; at < n; at += L.Count)
        {
            nint c = Math.Min(at, n - L.Count);
            L sum = dState == null ? default : L.Load(dState + c);
            int slot = t % K;
            for (int k = 0; k < K; k++)
            {
                sum = L.MultiplyAdd(L.Load(buffers.Weight + k * n + c), L.Load(buffers.Ring + slot * n + c), sum);
                slot = slot == 0 ? K - 1 : slot - 1;
            }
            sum.Store(dx + c);
        }
    }

    private readonly struct Buffers(int n, int K, Scratch scratch)
    {
        public readonly float* Weight = scratch.Take(K * n);
        public readonly float* Bias = scratch.Take(n);
        public readonly float* DWeight = scratch.Take(K * n);
        public readonly float* DBias = scratch.Take(n);
        public readonly float* Start = scratch.Take(2 * (K - 1) * n);
        public readonly float* DStart = scratch.Take((K - 1) * n);
        public readonly float* DState = scratch.Take((K - 1) * n);

        /// <summary>The gradient before the filter of token t, at t mod K.</summary>
        public readonly float* Ring = scratch.Take(K * n);
    }
}
