using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Operators;

/// <summary>Linear attention by our kernel and its gradients against libtorch's operators and theirs.</summary>
public sealed class LinearAttentionTests : IDisposable
{
    private const long B = 2, T = 83, H = 3, K = 8, V = 24;

    private readonly DisposeScope scope = NewDisposeScope();

    public LinearAttentionTests()
    {
        Native.Libtorch.Threads = 1;
        manual_seed(5);
    }

    public static TheoryData<string> Decays => ["none", "head", "key", "value"];

    public void Dispose() => scope.Dispose();

    [Theory, MemberData(nameof(Decays))]
    public void The_kernel_gives_the_outputs_and_gradients_of_the_chunks(string decay)
    {
        Tensor[] expected = Run(decay, depth: 1, (q, k, v, S, g, w) => Ops.LinearAttentionInChunks(q, k, v, S, 0.3, g, w));
        Tensor[] actual = Run(decay, depth: 1, (q, k, v, S, g, w) => Ops.LinearAttention(q, k, v, S, 0.3, g, w));
        for (int i = 0; i < expected.Length; i++) Near.Equal(expected[i], actual[i], because: $"result {i}");
    }

    [Theory, MemberData(nameof(Decays))]
    public void A_state_that_fades_at_once_leaves_finite_outputs_and_gradients(string decay)
    {
        Assert.All(Run(decay, depth: 200, (q, k, v, S, g, w) => Ops.LinearAttention(q, k, v, S, 0.3, g, w)), Finite);
        Assert.All(Run(decay, depth: 200, (q, k, v, S, g, w) => Ops.LinearAttentionInChunks(q, k, v, S, 0.3, g, w)), Finite);
        static void Finite(Tensor result) => Assert.True(result.isfinite().all().item<bool>());
    }

    [Theory, InlineData(true), InlineData(false)]
    public void Gradients_need_but_one_of_the_results_and_outlive_the_scope_it_was_made_in(bool useState)
    {
        var (q, k, v, S) = (Leaf(B, T, H, K), Leaf(B, T, H, K), Leaf(B, T, H, V), Leaf(B, H, K, V));
        Loss().backward();
        Assert.Equal(!useState, q.grad!.abs().max().item<float>() > 0);
        Assert.True(k.grad!.abs().max().item<float>() > 0);

        Tensor Loss()
        {
            using var inner = NewDisposeScope();
            var (o, next) = Ops.LinearAttention(q, k, v, S, 1);
            return (useState ? next : o).sum().MoveToOuterDisposeScope();
        }
    }

    [Fact]
    public void Two_decays_at_once_are_refused()
    {
        var (q, v) = (Leaf(B, T, H, K), Leaf(B, T, H, V));
        Assert.Throws<ArgumentException>(() => Ops.LinearAttention(q, q, v, zeros(B, H, K, V), 1, q, v));
    }

    private static Tensor Leaf(params long[] shape) => randn(shape).requires_grad_();

    // Outputs, then the gradients of everything that was given.
    private static Tensor[] Run(
        string decay, double depth, Func<Tensor, Tensor, Tensor, Tensor, Tensor?, Tensor?, (Tensor O, Tensor S)> attend)
    {
        manual_seed(6);
        var (q, k, v, S) = (Leaf(B, T, H, K), Leaf(B, T, H, K), Leaf(B, T, H, V), Leaf(B, H, K, V));
        Tensor Decay(long n) => (-depth * rand(B, T, H, n)).requires_grad_();
        var g = decay == "head" ? Decay(1) : decay == "key" ? Decay(K) : null;
        var w = decay == "value" ? Decay(V) : null;
        var (o, next) = attend(q, k, v, S, g, w);
        ((o * randn(o.shape)).sum() + (next * randn(next.shape)).sum()).backward();
        return [o.detach(), next.detach(), .. new[] { q, k, v, S, g, w }.OfType<Tensor>().Select(leaf => leaf.grad!)];
    }
}
