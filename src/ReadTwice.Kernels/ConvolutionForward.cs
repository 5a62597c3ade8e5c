using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>Filters token by token, all channels of each; a long text in pieces of it.</summary>
internal static unsafe class ConvolutionForward<L> where L : struct, ILanes<L>
{
    private const int FewestTokens = 64, FewestNumbers = 1 << 15, PiecesOfThread = 4;

    public static void Run(ConvolutionOperands operands, int threads)
    {
        var (B, T, C, K) = operands.Sizes;
        long most = Math.Min(T / Math.Max(FewestTokens, K), (long)T * C / FewestNumbers);   // a piece after the first does not meet the state
        int pieces = (int)Math.Clamp(most, 1, Math.Max(1, PiecesOfThread * Workers.Count(threads) / B)), all = B * pieces;
        using var scratch = Scratch.For(scratch => new Buffers(operands.Sizes, scratch), out var buffers);
        Transpose.Copy(operands.Weight, K, C, K, 1, buffers.Weight, C);
        if (operands.Bias == null) new Ref(buffers.Bias, C).Clear();
        else new In(operands.Bias, C).CopyTo(new(buffers.Bias, C));
        Workers.Run(all, Workers.Count(threads), i =>
        {
            int piece = i % pieces;
            Piece(operands, buffers, i / pieces, (int)((long)T * piece / pieces), (int)((long)T * (piece + 1) / pieces));
        });
    }

    private static void Piece(ConvolutionOperands operands, Buffers buffers, int b, int from, int to)
    {
        var (_, T, C, K) = operands.Sizes;
        float* x = operands.X + (nint)b * T * operands.XRow;
        if (from == 0)
        {
            float* start = buffers.Start + (nint)b * 2 * (K - 1) * C, state = operands.State + (nint)b * C * (K - 1);
            int first = Math.Min(T, K - 1);
            Transpose.Copy(state, K - 1, C, K - 1, 1, start, C);
            for (int t = 0; t < first; t++) new In(x + (nint)t * operands.XRow, C).CopyTo(new(start + (K - 1 + t) * C, C));
            Rows(operands, buffers, start, C, b * T, first);
            from = first;

            bool allAtStart = T < K - 1;
            float* last = allAtStart ? start + T * C : x + (nint)(T - (K - 1)) * operands.XRow;
            Transpose.Copy(last, allAtStart ? C : operands.XRow, K - 1, C, 1, state, K - 1);
        }
        Rows(operands, buffers, x + (nint)(from - (K - 1)) * operands.XRow, operands.XRow, b * T + from, to - from);
    }

    /// <summary>Filters some tokens from one on; what its first tap meets is at x.</summary>
    private static void Rows(ConvolutionOperands operands, Buffers buffers, float* x, nint xRow, int token, int count)
    {
        const int Together = 8;   // rows are pages apart: as many as the processor keeps at hand
        nint C = operands.Sizes.C;
        float* y = operands.Y + token * C, gate = operands.Gate + (nint)token * operands.GateRow;
        for (int n; count > 0; count -= n, x += n * xRow, y += n * C, gate += n * operands.GateRow)
        {
            n = Math.Min(count, Together);
            if (operands.Sizes.K is 3 or 4) Few(operands, buffers, x, xRow, y, gate, n);
            else Any(operands, buffers, x, xRow, y, gate, n);
        }
    }

    // Rows often lie whole powers of two apart, where what is read again has left the first cache by then: three or four taps, all that
    // models have, keep it in registers.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Few(ConvolutionOperands operands, Buffers buffers, float* x, nint xRow, float* y, float* gate, int count)
    {
        nint C = operands.Sizes.C, gateRow = operands.GateRow;
        bool four = operands.Sizes.K == 4, silu = operands.Silu, gated = operands.Gate != null;
        for (nint at = 0; at < C; at += L.Count)
        {
            nint c = Math.Min(at, C - L.Count);
            float* taps = buffers.Weight + c, input = x + c;
            L oldest = default, third = default, bias = L.Load(buffers.Bias + c);
            if (four)
            {
                oldest = L.Load(taps);
                third = L.Load(input);
                taps += C;
                input += xRow;
            }
            L older = L.Load(taps), old = L.Load(taps + C), now = L.Load(taps + 2 * C);
            L second = L.Load(input), first = L.Load(input + xRow);
            input += 2 * xRow;
            float* to = y + c, factor = gate + c;
            for (int t = count; t > 0; t--, input += xRow, to += C, factor += gateRow)
            {
                L current = L.Load(input);
                L sum = four ? L.MultiplyAdd(oldest, third, bias) : bias;
                sum = L.MultiplyAdd(now, current, L.MultiplyAdd(old, first, L.MultiplyAdd(older, second, sum)));
                (third, second, first) = (second, first, current);
                if (silu) sum = Sigmoid.Silu(sum);
                if (gated) sum *= L.Load(factor);
                sum.Store(to);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Any(ConvolutionOperands operands, Buffers buffers, float* x, nint xRow, float* y, float* gate, int count)
    {
        nint C = operands.Sizes.C;
        for (; count > 0; count--, x += xRow, y += C, gate += operands.GateRow)
            for (nint at = 0; at < C; at += L.Count)
            {
                nint c = Math.Min(at, C - L.Count);
                L sum = L.Load(buffers.Bias + c);
                float* weight = buffers.Weight + c, input = x + c;
                for (int k = operands.Sizes.K; k > 0; k--, weight += C, input += xRow) sum = L.MultiplyAdd(L.Load(weight), L.Load(input), sum);
                if (operands.Silu) sum = Sigmoid.Silu(sum);
                if (operands.Gate != null) sum *= L.Load(gate + c);
                sum.Store(y + c);
            }
    }

    private readonly struct Buffers(ConvolutionSizes sizes, Scratch scratch)
    {
        /// <summary>[K, C].</summary>
        public readonly float* Weight = scratch.Take(sizes.K * sizes.C);

        public readonly float* Bias = scratch.Take(sizes.C);

        /// <summary>For each row of the batch what its state holds, and the first tokens: [B, 2 (K - 1), C].</summary>
        public readonly float* Start = scratch.Take(checked(sizes.B * 2 * (sizes.K - 1) * sizes.C));
    }
}
