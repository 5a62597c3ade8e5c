using ReadTwice.Kernels;
using ReadTwice.Kernels.Cuda;
using ReadTwice.Tests.Kernels;

namespace ReadTwice.Tests.Cuda;

/// <summary>The shipped PTX, run by an interpreter that also objects to races, bad addresses and reads of what nobody wrote.</summary>
public class CudaPrefixLinearAttentionTests
{
    // Operands of products are bfloat16, with 8 digits: 2⁻⁹ of each, and sums of a hundred of them.
    private const double Rounding = 6e-3;

    // B, H, T, P, V
    public static readonly TheoryData<int, int, int, int, int> Cases = new()
    {
        { 1, 1, 1, 0, 64 }, { 1, 2, 63, 0, 64 }, { 1, 1, 64, 200, 64 }, { 2, 2, 65, 5, 32 }, { 1, 1, 130, 70, 112 },
        { 1, 1, 200, 1, 128 }, { 1, 2, 129, 64, 16 }, { 1, 1, 3, 257, 48 },
    };

    [Theory, MemberData(nameof(Cases))]
    public void It_reads_as_the_reference_does(int B, int H, int T, int P, int V)
    {
        using var run = new CudaAttentionRun(AttentionRun.Random(new(B, T, H, 16, V), P, seed: T));
        Near(run.Run.Reference(), run.Forward(new PtxDevice(seed: T)));
    }

    [Theory, InlineData(1, 320, 100), InlineData(2, 257, 0), InlineData(1, 200, 500)]
    public void A_text_cut_into_segments_is_read_as_one(int B, int T, int P)
    {
        var sizes = new AttentionSizes(B, T, 2, 16, 64);
        using var run = new CudaAttentionRun(AttentionRun.Random(sizes, P));
        var device = new PtxDevice { Multiprocessors = 6 };
        var cut = CudaSegments.For(device, sizes, P, fewestTokens: 64);
        Assert.True(cut.Count > 1);
        Near(run.Run.Reference(), run.Forward(device, cut));
    }

    [Fact]
    public void A_text_is_cut_only_where_heads_are_few_and_segments_long()
    {
        var device = new PtxDevice { Multiprocessors = 132 };
        Assert.Equal(0, CudaSegments.For(device, new(16, 32768, 16, 16, 64), 16384).Slots);
        Assert.Equal(0, CudaSegments.For(device, new(1, 700, 16, 16, 64), 0).Slots);
        var cut = CudaSegments.For(device, new(1, 32768, 16, 16, 64), 16384);
        Assert.Equal((16, 16), (cut.Count, cut.EncCount));
    }

    [Fact]
    public void Nothing_read_before_is_a_state_of_zeros()
    {
        using var run = new CudaAttentionRun(AttentionRun.Random(new(1, 70, 2, 16, 64), 20));
        var zeros = run.Run with { S0 = new float[run.Run.S0.Length], Z0 = new float[run.Run.Z0.Length] };
        Near(zeros.Reference(), run.Forward(new PtxDevice(), fromNothing: true));
    }

    [Theory, InlineData(2, 2, 64), InlineData(1, 3, 112)]
    public void A_step_reads_as_the_reference_does(int B, int H, int V)
    {
        using var run = new CudaAttentionRun(AttentionRun.Random(new(B, 1, H, 16, V)));
        var expected = run.Run.Reference();
        var actual = run.Step(new PtxDevice());
        Near(expected.O, actual.O, 2e-3, "o");   // float32 inside, one rounding of the output
        Near(expected.S, actual.S, 1e-6, "S");
        Near(expected.Z, actual.Z, 1e-6, "z");
    }

    [Fact]
    public void A_state_that_was_handed_over_is_that_of_one_reading()
    {
        using var whole = new CudaAttentionRun(AttentionRun.Random(new(1, 130, 1, 16, 64)));
        var expected = whole.Forward(new PtxDevice());
        using var before = new CudaAttentionRun(whole.Run.Tokens(0, 77));
        var first = before.Forward(new PtxDevice());
        using var after = new CudaAttentionRun(whole.Run.Tokens(77, 130) with { S0 = first.S, Z0 = first.Z });
        var second = after.Forward(new PtxDevice());
        Near(whole.Run.Part(expected.O, 64, 77, 130), second.O, Rounding, "o");
        Near(expected.S, second.S, 1e-5, "S");
        Near(expected.Z, second.Z, 1e-5, "z");
    }

    [Fact]
    public void Every_barrier_and_every_wait_for_copies_is_needed()
    {
        using var run = new CudaAttentionRun(AttentionRun.Random(new(1, 192, 1, 16, 64), 100));
        var barriers = PtxDevice.Kernel("PrefixLinearAttention", "prefixLinearAttention").Code
            .Where(instruction => instruction.Kind == PtxInstructionKind.Barrier || instruction.Opcode == "cp.async.wait_group").ToList();
        Assert.Equal(3 + 2, barriers.Count);
        foreach (var barrier in barriers)
            Assert.Throws<PtxException>(() => run.Forward(new PtxDevice { Change = kernel => kernel.Without(barrier) }));
    }

    [Fact]
    public void Every_barrier_of_a_step_is_needed()
    {
        using var run = new CudaAttentionRun(AttentionRun.Random(new(1, 1, 1, 16, 64)));
        var barriers = PtxDevice.Kernel("PrefixLinearAttentionStep", "prefixLinearAttentionStep").Code.Where(i => i.Kind == PtxInstructionKind.Barrier).ToList();
        Assert.Equal(2, barriers.Count);
        foreach (var barrier in barriers)
            Assert.Throws<PtxException>(() => run.Step(new PtxDevice { Change = kernel => kernel.Without(barrier) }));
    }

    [Fact]
    public void Memory_that_does_not_fit_is_refused_before_the_launch()
    {
        using var run = new CudaAttentionRun(AttentionRun.Random(new(1, 64, 1, 16, 64)));
        var error = Assert.Throws<ArgumentException>(() => run.Forward(new PtxDevice(), change: x => x with { K = x.K with { Bytes = x.K.Bytes - 32 } }));
        Assert.Contains("K holds 2016 bytes; [1, 64, 1, 16] of 2 bytes each needs 2048.", error.Message);
        var sizes = Assert.Throws<ArgumentException>(() => run.Forward(new PtxDevice(), sizes: new(1, 64, 1, 24, 64)));
        Assert.Contains("Use the operators of libtorch.", sizes.Message);
    }

    internal static void Near(AttentionRun.Results expected, AttentionRun.Results actual)
    {
        Near(expected.O, actual.O, Rounding, "o");
        Near(expected.Den, actual.Den, Rounding, "normalisers");
        Near(expected.S, actual.S, Rounding, "S");
        Near(expected.Z, actual.Z, 1e-5, "z");
    }

    // The root of the mean square of the differences, relative to that of the values.
    internal static void Near(float[] expected, float[] actual, double tolerance, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        double difference = 0, size = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += Math.Pow(expected[i] - actual[i], 2);
            size += Math.Pow(expected[i], 2);
        }
        double relative = Math.Sqrt(difference / Math.Max(size, 1e-30));
        Assert.True(relative <= tolerance, $"{what} differ by {relative:0.0e+0} of their size; {tolerance:0.0e+0} is allowed");
    }
}
