using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>Filters one token, channel by channel: weight and state are read, and the state moved on, where they lie.</summary>
internal static unsafe class ConvolutionStep<L> where L : struct, ILanes<L>
{
    public static void Run(ConvolutionOperands operands, int threads)
    {
        var (B, _, C, K) = operands.Sizes;
        RowWork.Run(B, RowWork.Parts(B, C * K, threads), (_, first, next) =>
        {
            using var scratch = Scratch.For(scratch => (nint)scratch.Take(C), out nint sums);
            for (nint b = first; b < next; b++)
            {
                Filter(operands, operands.X + b * operands.XRow, operands.State + b * C * (K - 1), (float*)sums);
                Finish(operands, (float*)sums, operands.Gate == null ? null : operands.Gate + b * operands.GateRow, operands.Y + b * C);
            }
        });
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Filter(in ConvolutionOperands operands, float* x, float* state, float* sums)
    {
        int C = operands.Sizes.C, before = operands.Sizes.K - 1;
        float* weight = operands.Weight;
        for (int c = 0; c < C; c++, state += before, weight += before + 1)
        {
            float sum = operands.Bias == null ? 0 : operands.Bias[c];
            for (int k = 0; k < before; k++) sum = float.MultiplyAddEstimate(weight[k], state[k], sum);
            sums[c] = float.MultiplyAddEstimate(weight[before], x[c], sum);
            if (before == 0) continue;
            for (int k = 1; k < before; k++) state[k - 1] = state[k];
            state[before - 1] = x[c];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Finish(in ConvolutionOperands operands, float* sums, float* gate, float* y)
    {
        nint C = operands.Sizes.C;
        for (nint at = 0; at < C; at += L.Count)
        {
            nint c = Math.Min(at, C - L.Count);
            L sum = L.Load(sums + c);
            if (operands.Silu) sum = Sigmoid.Silu(sum);
            if (gate != null) sum *= L.Load(gate + c);
            sum.Store(y + c);
        }
    }
}
