using ReadTwice.Kernels;
using ReadTwice.Tests.Kernels;

namespace ReadTwice.Tests.Cuda;

public class CudaPrefixLinearAttentionBackwardTests
{
    // Products of bfloat16 operands, of which the sums of a state, the weights and the gradients of features are rounded once more.
    private const double Rounding = 1.5e-2;

    [Theory]
    [InlineData(1, 1, 1, 0, 64), InlineData(1, 2, 63, 0, 64), InlineData(1, 1, 64, 70, 48), InlineData(2, 1, 65, 5, 64)]
    [InlineData(1, 1, 130, 129, 112), InlineData(1, 2, 70, 0, 128)]
    public void Gradients_are_those_of_the_reference(int B, int H, int T, int P, int V)
    {
        using var run = new CudaAttentionRun(AttentionRun.Random(new(B, T, H, 16, V), P, seed: T));
        Near(run.Run.ReferenceBackward(run.Run.Reference()), run.Backward(new PtxDevice(seed: T)));
    }

    [Fact]
    public void A_text_from_its_beginning_needs_no_state_and_its_end_no_gradient()
    {
        using var run = new CudaAttentionRun(AttentionRun.Random(new(1, 100, 1, 16, 64), 30));
        var zeros = run.Run with { S0 = new float[run.Run.S0.Length], Z0 = new float[run.Run.Z0.Length], DS = [], DZ = [] };
        Near(zeros.ReferenceBackward(zeros.Reference()), run.Backward(new PtxDevice(), withState: false));
    }

    [Fact]
    public void Every_barrier_is_needed()
    {
        using var run = new CudaAttentionRun(AttentionRun.Random(new(1, 192, 1, 16, 64), 70));
        var barriers = PtxDevice.Kernel("PrefixLinearAttentionBackward", "gradientOfFeatures").Code.Where(i => i.Kind == PtxInstructionKind.Barrier).ToList();
        Assert.Equal(4, barriers.Count);
        foreach (var barrier in barriers)
            Assert.Throws<PtxException>(() => run.Backward(new PtxDevice { Change = kernel => kernel.Without(barrier) }));
    }

    private static void Near(AttentionRun.Gradients expected, AttentionRun.Gradients actual)
    {
        CudaPrefixLinearAttentionTests.Near(expected.DV, actual.DV, Rounding, "dv");
        CudaPrefixLinearAttentionTests.Near(expected.DVEnc, actual.DVEnc, Rounding, "dv of the prefix");
        CudaPrefixLinearAttentionTests.Near(expected.DQ, actual.DQ, Rounding, "dq");
        CudaPrefixLinearAttentionTests.Near(expected.DK, actual.DK, Rounding, "dk");
        CudaPrefixLinearAttentionTests.Near(expected.DKEnc, actual.DKEnc, Rounding, "dk of the prefix");
        CudaPrefixLinearAttentionTests.Near(expected.DS0, actual.DS0, Rounding, "dS");
        CudaPrefixLinearAttentionTests.Near(expected.DZ0, actual.DZ0, Rounding, "dz");
    }
}
