using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Operators;

/// <summary>What stands around the matrix products: our kernels against libtorch's operators, values and gradients.</summary>
public sealed class BlockTests : IDisposable
{
    private readonly DisposeScope scope = NewDisposeScope();
    private readonly torch.Generator random = new(3, CPU);

    public BlockTests() => Libtorch.Threads = 2;

    public void Dispose()
    {
        random.Dispose();
        scope.Dispose();
    }

    [Theory, InlineData(true), InlineData(false)]
    public void A_gated_convolution_of_halves_of_rows_is_that_of_operators(bool isWhole)
    {
        Tensor rows = Draw(2, 33, 2 * 40), weight = Draw(40, 1, 4), bias = Draw(40), state = Draw(2, 40, 3);
        Same([rows, weight, bias, state], given =>
        {
            var halves = given[0].chunk(2, -1);
            var (y, next) = isWhole ? Ops.ShortConvolution(halves[0], given[1], given[2], given[3], true, halves[1]) : Ops.ShortConvolution(halves[0], given[1], null, given[3]);
            return isWhole ? [y, next] : [y];   // a state that nothing reads has no gradient
        }, given =>
        {
            var halves = given[0].chunk(2, -1);
            var (y, next) = isWhole ? Ops.ConvolutionByOperators(halves[0], given[1], given[2], given[3], true, halves[1])
                : Ops.ConvolutionByOperators(halves[0], given[1], null, given[3], false, null);
            return isWhole ? [y, next] : [y];
        });
    }

    [Fact]
    public void The_gate_of_halves_of_rows_is_that_of_operators() => Same(
        [Draw(2, 7, 2 * 50)], given => [Ops.SwiGlu(given[0].chunk(2, -1)[0], given[0].chunk(2, -1)[1])],
        given => [given[0].chunk(2, -1)[0] * nn.functional.silu(given[0].chunk(2, -1)[1])]);

    [Theory, InlineData(1, 0), InlineData(3, 1)]
    public void A_norm_and_that_of_a_sum_are_those_of_operators(long groups, double offset)
    {
        Tensor x = Draw(2, 9, 60), added = Draw(2, 9, 60), weight = Draw(60);
        Same([x, weight], given => [Ops.RmsNorm(given[0], given[1], 1e-5, groups, offset)], given => [Ops.NormByOperators(given[0], given[1], 1e-5, groups, offset)]);
        Same([x, added, weight], given =>
        {
            var (sum, normalised) = Ops.RmsNormOfSum(given[0], given[1], given[2], 1e-5, groups, offset);
            return [sum, normalised];
        }, given => [given[0] + given[1], Ops.NormByOperators(given[0] + given[1], given[2], 1e-5, groups, offset)]);
    }

    [Theory, InlineData(1, 0), InlineData(1, 100), InlineData(50, 7), InlineData(130, 64)]
    public void A_window_is_that_of_operators(long T, long position)
    {
        using var inference = no_grad();
        const long W = 24, E = 16, KeyHeads = 2, H = 4;
        var parts = Draw(2, T, (H + 2 * KeyHeads) * E).split([H * E, KeyHeads * E, KeyHeads * E], -1);
        Tensor keys = Draw(2, KeyHeads, W, E), values = Draw(2, KeyHeads, W, E), starts = tensor(new long[] { 0, position + T / 2 });
        if (position < W) (keys, values) = (Ops.InOrder(keys, position), Ops.InOrder(values, position));
        if (position < W) (keys, values) = (nn.functional.pad(keys, [0, 0, 0, W - position]), nn.functional.pad(values, [0, 0, 0, W - position]));
        var turns = new Layers.Rotary(10).Turns(position, T, E);
        var (o, nextKeys, nextValues) = Ops.WindowByOperators(parts[0], parts[1], parts[2], keys, values, 0.3, position, turns, starts);
        var (fast, fastKeys, fastValues) = Ops.SlidingWindowAttention(parts[0], parts[1], parts[2], keys, values, 0.3, position, turns, starts);
        Near.Equal(o, fast);
        Near.Equal(nextKeys, fastKeys);
        Near.Equal(nextValues, fastValues);
    }

    [Fact]
    public void Rows_are_taken_where_they_lie_only_if_they_lie_evenly()
    {
        var rows = Draw(3, 4, 10);
        Assert.Equal(10, Stride(rows.narrow(2, 2, 5)));
        Assert.Equal(40, Stride(rows.select(1, 2)));
        Assert.Equal(3, Stride(rows.narrow(1, 0, 3).narrow(2, 0, 3)));     // the rows of a batch lie further apart than those of a text
        Assert.Equal(3, Stride(rows.transpose(0, 2)));
        Assert.Equal(10, Stride(rows.narrow(0, 0, 1).narrow(1, 0, 1).expand(1, 6, 10)));

        static int Stride(Tensor tensor)
        {
            Near.Equal(tensor, Spans.Rows(tensor, out int stride));
            return stride;
        }
    }

    private Tensor Draw(params long[] shape) => randn(shape, generator: random);

    private static void Same(Tensor[] inputs, Func<Tensor[], Tensor[]> ours, Func<Tensor[], Tensor[]> theirs)
    {
        var (expected, expectedGradients) = Run(inputs, theirs);
        var (actual, gradients) = Run(inputs, ours);
        for (int i = 0; i < expected.Length; i++) Near.Equal(expected[i], actual[i], because: $"result {i}");
        for (int i = 0; i < inputs.Length; i++) Near.Equal(expectedGradients[i], gradients[i], because: $"gradient {i}");
        using var inference = no_grad();
        Near.Equal(expected[0], ours(inputs)[0], because: "the result without gradients");
    }

    private static (Tensor[] Results, Tensor[] Gradients) Run(Tensor[] inputs, Func<Tensor[], Tensor[]> function)
    {
        Tensor[] leaves = [.. inputs.Select(input => input.clone().requires_grad_())], results = function(leaves);
        using var own = new torch.Generator(5, CPU);
        var loss = zeros(1);
        foreach (var result in results) loss = loss + (result * randn(result.shape, generator: own)).sum();
        loss.backward();
        return ([.. results.Select(result => result.detach())], [.. leaves.Select(leaf => leaf.grad ?? zeros_like(leaf))]);
    }
}
