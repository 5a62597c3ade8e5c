using ReadTwice.Kernels.Cuda;
using ReadTwice.Tests.Kernels;

namespace ReadTwice.Tests.Cuda;

public class CudaGatedConvolutionTests
{
    [Theory, InlineData(2, 1, 16, 3, true), InlineData(1, 50, 1032, 3, false), InlineData(2, 33, 24, 4, true), InlineData(1, 2, 8, 4, false), InlineData(1, 5, 8, 1, true)]
    public void It_filters_gates_and_keeps_the_last_inputs(int B, int T, int I, int taps, bool biased)
    {
        var random = new Random(T);
        float[] x = CudaAttentionRun.Rounded(Numbers.Random(random, B * T * 2 * I)), weight = Numbers.Random(random, I * taps);
        float[] bias = biased ? Numbers.Random(random, I) : [], before = Numbers.Random(random, B * I * (taps - 1));
        using var memory = new CudaAttentionRun(AttentionRun.Random(new(1, 1, 1, 16, 16)));
        var (y, after) = (memory.Unwritten(B * T * I * 2), memory.Unwritten(before.Length * sizeof(float)));
        CudaGatedConvolution.Forward(
            new PtxDevice(), B, T, I, taps, memory.Halves(x), memory.Floats(weight), memory.Floats(bias), memory.Floats(before), after, y);

        float[] expected = new float[B * T * I], last = new float[before.Length];
        for (int b = 0; b < B; b++)
            for (int c = 0; c < I; c++)
            {
                float Input(int t) => t < 0 ? before[(b * I + c) * (taps - 1) + taps - 1 + t] : x[(b * T + t) * 2 * I + c];
                for (int t = 0; t < T; t++)
                {
                    double sum = biased ? bias[c] : 0;
                    for (int i = 0; i < taps; i++) sum += (double)weight[c * taps + i] * Input(t - taps + 1 + i);
                    expected[(b * T + t) * I + c] = (float)(sum / (1 + Math.Exp(-sum)) * x[(b * T + t) * 2 * I + I + c]);
                }
                for (int i = 0; i < taps - 1; i++) last[(b * I + c) * (taps - 1) + i] = Input(T - taps + 1 + i);
            }
        Numbers.Near(expected, CudaAttentionRun.OfHalves(y), 4e-3f, "y");   // one rounding to bfloat16
        Assert.Equal(last, CudaAttentionRun.OfFloats(after));
    }
}
