using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

public class PrefixLinearAttentionTests
{
    // float32 sums of some hundred terms, in another order.
    private const float Tolerance = 1e-5f;

    private static readonly TaylorKernel[] kernels =
        [new TaylorKernel<Lanes512>(), new TaylorKernel<Lanes256>(), new TaylorKernel<Lanes128>()];

    [Theory, InlineData(1, 49), InlineData(45, 67), InlineData(48, 1), InlineData(130, 100)]
    public void Every_width_of_register_reads_as_the_reference(int P, int T)
    {
        foreach (bool masked in new[] { false, true })
        {
            var run = AttentionRun.Random(new AttentionSizes(2, T, 3, 16, 24), P, masked);
            var expected = run.Reference();
            foreach (var kernel in kernels) AttentionRun.Near(expected, run.Forward(kernel), Tolerance, kernel.ToString()!);
        }
    }

    [Fact]
    public void Every_prefix_token_reaches_the_first_query()
    {
        var run = AttentionRun.Random(new AttentionSizes(1, 60, 1, 16, 24), P: 50);
        float[] first = run.Forward().O[..24];
        for (int p = 0; p < 50; p++)
        {
            var changed = run with { VEnc = [.. run.VEnc] };
            changed.VEnc[p * 24] += 1;
            Assert.NotEqual(first[0], changed.Forward().O[0]);
        }
    }

    [Fact]
    public void An_empty_prefix_leaves_causal_attention()
    {
        var run = AttentionRun.Random(new AttentionSizes(2, 60, 3, 16, 24));
        float[] S = [.. run.S0], z = [.. run.Z0], o = new float[run.V.Length];
        PrefixLinearAttention.Forward(run.Sizes, 0, run.Scale, [], [], [], run.Q, run.K, run.V, [], S, z, o);
        Assert.Equal(run.Forward().O, o);
    }

    [Fact]
    public void A_prefix_of_the_wrong_size_is_named_with_what_it_holds_and_needs()
    {
        var run = AttentionRun.Random(new AttentionSizes(2, 4, 3, 8, 24), P: 5);
        Assert.StartsWith("kEnc holds 3 values; [2, 5, 3, 8] needs 240.",
            Assert.Throws<ArgumentException>(() => (run with { KEnc = new float[3] }).Forward()).Message, StringComparison.Ordinal);
        Assert.StartsWith("vEnc holds 3 values; [2, 5, 3, 24] needs 720.",
            Assert.Throws<ArgumentException>(() => (run with { VEnc = new float[3] }).Forward()).Message, StringComparison.Ordinal);
        Assert.StartsWith("A prefix has no tokens or more, not P = -1.",
            Assert.Throws<ArgumentException>(() => (run with { P = -1 }).Forward()).Message, StringComparison.Ordinal);
    }
}
