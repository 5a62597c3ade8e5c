using ReadTwice.Tests.Cuda;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Operators;

/// <summary>The host of the CUDA kernels on tensors, from their shapes to the launches, with an interpreter for a card.</summary>
public sealed class CudaTaylorFunctionTests : IDisposable
{
    private const long H = 2, K = 16, V = 64;
    private const double Scale = 0.25, Epsilon = 1e-12, Rounding = 2e-2;   // bfloat16, relative to the largest value

    private readonly DisposeScope scope = NewDisposeScope();
    private readonly torch.Generator chance = new(3);
    private readonly PtxDevice device = new();

    public CudaTaylorFunctionTests() => Native.Libtorch.Threads = 1;

    public void Dispose()
    {
        scope.Dispose();
        chance.Dispose();
    }

    [Theory, InlineData(1, 70, 0), InlineData(2, 33, 20), InlineData(2, 1, 0)]
    public void It_reads_as_the_operators_do(long B, long T, long P)
    {
        var x = Operands(B, T, P, learns: false);
        var expected = Ops.TaylorAttentionByOperators(x.Q, x.K, x.V, x.S, x.Z, Scale, Epsilon, null, x.Prefix);
        var actual = CudaTaylorFunction.Attend(device, x.Q, x.K, x.V, x.S, x.Z, (float)Scale, x.Prefix);
        Near.Equal(expected.O, actual.O, Rounding, "o");
        Near.Equal(expected.S, actual.S, Rounding, "S");
        Near.Equal(expected.z, actual.z, 1e-5, "z");
        Assert.Equal(T == 1 ? "prefixLinearAttentionStep" : "prefixLinearAttention", device.Launches.Single().Kernel.Name);
    }

    [Fact]
    public void Views_that_start_within_a_row_are_read_as_copies()
    {
        var x = Operands(1, 12, 0, learns: false);
        Tensor Shifted(Tensor y) => cat([zeros(1), y.flatten()]).narrow(0, 1, y.numel()).view(y.shape);
        var expected = CudaTaylorFunction.Attend(device, x.Q, x.K, x.V, x.S, x.Z, (float)Scale, null);
        var actual = CudaTaylorFunction.Attend(device, Shifted(x.Q), Shifted(x.K), Shifted(x.V), Shifted(x.S), Shifted(x.Z), (float)Scale, null);
        Near.Equal(expected.O, actual.O, 0, "o");
    }

    [Fact]
    public void Few_heads_and_a_long_text_are_read_in_segments()
    {
        var x = Operands(1, 1100, 0, learns: false);
        var expected = Ops.TaylorAttentionByOperators(x.Q, x.K, x.V, x.S, x.Z, Scale, Epsilon, null, null);
        var actual = CudaTaylorFunction.Attend(device, x.Q, x.K, x.V, x.S, x.Z, (float)Scale, null);
        Near.Equal(expected.O, actual.O, Rounding, "o");
        Near.Equal(expected.z, actual.z, 1e-5, "z");
        Assert.Equal(["prefixLinearAttention", "scanStates", "prefixLinearAttention"], device.Launches.Select(launch => launch.Kernel.Name));
    }

    [Theory, InlineData(0, true), InlineData(20, true), InlineData(20, false)]
    public void Gradients_are_those_of_the_operators(long P, bool useState)
    {
        var x = Operands(2, 33, P, learns: true);
        Tensor[] inputs = [x.Q, x.K, x.V, x.S, x.Z, .. x.Prefix is null ? [] : new[] { x.Prefix.K, x.Prefix.V }];
        var weights = randn(2, 33, H, V, generator: chance);

        Tensor[] Gradients((Tensor O, Tensor S, Tensor Z) read)
        {
            foreach (var input in inputs) input.grad = null;
            var loss = (read.O * weights).sum();
            if (useState) loss = loss + read.S.square().sum() * 1e-3;
            loss.backward();
            return [.. inputs.Select(input => input.grad!.clone())];
        }
        var expected = Gradients(Ops.TaylorAttentionByOperators(x.Q, x.K, x.V, x.S, x.Z, Scale, Epsilon, null, x.Prefix));
        var actual = Gradients(CudaTaylorFunction.Attend(device, x.Q, x.K, x.V, x.S, x.Z, (float)Scale, x.Prefix));
        // Gradients are small numbers here: each is compared with its own largest.
        for (int i = 0; i < expected.Length; i++)
        {
            double largest = expected[i].abs().max().item<float>();
            Near.Equal(expected[i] / largest, actual[i] / largest, Rounding, $"gradient {i}");
        }
    }

    [Fact]
    public void What_the_kernels_do_not_know_is_left_to_the_operators()
    {
        var x = Operands(1, 9, 4, learns: false);
        bool Serves(Tensor? q = null, Tensor? k = null, Tensor? v = null, double epsilon = Epsilon, Tensor? mask = null, EncodedPrefix? prefix = null) =>
            CudaTaylorFunction.Serves(q ?? x.Q, k ?? x.K, v ?? x.V, x.S, x.Z, Scale, epsilon, mask, prefix);
        Assert.True(Serves(prefix: x.Prefix));
        Assert.False(Serves(mask: ones(1, 9)));
        Assert.False(Serves(prefix: x.Prefix! with { Mask = ones(1, 4) }));
        Assert.False(Serves(epsilon: 1e-6));
        Assert.False(Serves(zeros(1, 9, H, 24), zeros(1, 9, H, 24)));
        Assert.False(Serves(v: zeros(1, 9, H, 40)));
        Assert.False(Serves(v: zeros(1, 9, H, 32).requires_grad_()));   // gradients from 48 on
    }

    [Fact]
    public void A_gated_convolution_filters_as_the_operators_do()
    {
        var (uw, weight, bias, state) = (randn(2, 9, 32, generator: chance), randn(16, 1, 3, generator: chance), randn(16, generator: chance), randn(2, 16, 2, generator: chance));
        uw = uw.to(ScalarType.BFloat16).to(ScalarType.Float32);
        var expected = Ops.GatedConvolution(uw, weight, bias, state);
        var actual = CudaConvolution.Filter(device, uw, weight, bias, state);
        Near.Equal(expected.Y, actual.Y, 4e-3, "y");
        Near.Equal(expected.State, actual.State, 0, "state");
    }

    private (Tensor Q, Tensor K, Tensor V, Tensor S, Tensor Z, EncodedPrefix? Prefix) Operands(long B, long T, long P, bool learns)
    {
        long F = Layers.TaylorFeatureMap.Width(K);
        Tensor Draw(params long[] shape) => randn(shape, generator: chance).to(ScalarType.BFloat16).to(ScalarType.Float32);
        // A state is a sum over keys: one of seven makes every normaliser positive.
        var (_, S, z) = Ops.TaylorAttentionByOperators(
            Draw(B, 7, H, K), Draw(B, 7, H, K), Draw(B, 7, H, V), zeros(B, H, F, V), zeros(B, H, F), Scale, Epsilon, null, null);
        var prefix = P == 0 ? null : new EncodedPrefix(Draw(B, P, H, K), Draw(B, P, H, V));
        var x = (Q: Draw(B, T, H, K), K: Draw(B, T, H, K), V: Draw(B, T, H, V), S: S.clone(), Z: z.clone(), Prefix: prefix);
        if (learns)
            foreach (var tensor in new[] { x.Q, x.K, x.V, x.S, x.Z, prefix?.K, prefix?.V }) tensor?.requires_grad_();
        return x;
    }
}
