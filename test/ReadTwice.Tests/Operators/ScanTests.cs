using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Operators;

/// <summary>Recurrences against the plain loop that they stand for, and their kernels against libtorch's operators.</summary>
public sealed class ScanTests : IDisposable
{
    private readonly DisposeScope scope = NewDisposeScope();
    private readonly torch.Generator random;

    public ScanTests()
    {
        Native.Libtorch.Threads = 1;
        random = new torch.Generator(7);
    }

    public static TheoryData<long> Lengths => [1, 2, 3, 63, 64, 65, 130];

    public void Dispose()
    {
        random.Dispose();
        scope.Dispose();
    }

    [Theory, MemberData(nameof(Lengths))]
    public void A_scan_gives_the_state_after_each_token(long T)
    {
        var (a, b, h0) = (Uniform(2, T, 5), Normal(2, T, 5), Normal(2, 5));
        var (y, last) = Ops.Scan(a, b, h0);

        var h = h0;
        for (long t = 0; t < T; t++)
        {
            h = a.select(1, t) * h + b.select(1, t);
            Near.Equal(h, y.select(1, t), because: $"the state after token {t}");
        }
        Near.Equal(h, last);
    }

    [Theory, MemberData(nameof(Lengths))]
    public void Heads_that_share_maps_give_what_a_loop_over_tokens_gives(long T)
    {
        // Every tenth step all but wipes the state, and in between hardly any of it is lost.
        var delta = Uniform(2, T, 6) * 0.1 + arange(T).remainder(10).eq(3).to(ScalarType.Float32).view(1, T, 1) * 100;
        var (x, A, D) = (Normal(2, T, 6, 5), -Uniform(6) - 0.5, Normal(6, 5));
        var (Bt, Ct, S0) = (Normal(2, T, 2, 3), Normal(2, T, 2, 3), Normal(2, 6, 3, 5));
        foreach (var (y, last) in new[] { Ops.StateSpaceDuality(x, delta, A, Bt, Ct, D, S0), Ops.DualityByOperators(x, delta, A, Bt, Ct, D, S0) })
        {
            var S = S0;
            for (long t = 0; t < T; t++)
            {
                var (d, b, c) = (delta.select(1, t), Bt.select(1, t).repeat_interleave(3, 1), Ct.select(1, t).repeat_interleave(3, 1));
                S = (d * A).exp().unsqueeze(-1).unsqueeze(-1) * S + b.unsqueeze(3) * (d.unsqueeze(-1) * x.select(1, t)).unsqueeze(2);
                Near.Equal((S * c.unsqueeze(3)).sum(2) + D * x.select(1, t), y.select(1, t), because: $"what token {t} reads");
            }
            Near.Equal(S, last);
        }
    }

    [Fact]
    public void A_decay_to_nothing_is_neither_infinite_nor_undefined()
    {
        var (x, delta) = (Normal(1, 100, 2, 3).requires_grad_(), full([1, 100, 2], 100f).requires_grad_());
        var (y, last) = Ops.StateSpaceDuality(x, delta, -ones(2), Normal(1, 100, 1, 4), Normal(1, 100, 1, 4), ones(2, 1), Normal(1, 2, 4, 3));
        (y.sum() + last.sum()).backward();
        foreach (var tensor in new[] { y, last, x.grad!, delta.grad! }) Assert.True(tensor.isfinite().all().item<bool>());
    }

    [Theory, MemberData(nameof(Lengths))]
    public void The_scan_s_kernel_gives_the_gradients_of_the_operators(long T) => SameGradients(
        [Uniform(2, T, 5), Normal(2, T, 5), Normal(2, 5)],
        given => Ops.Scan(given[0], given[1], given[2]),
        given => Ops.ScanByOperators(given[0], given[1], given[2]) switch { var y => (y, y.select(1, T - 1)) });

    [Theory, MemberData(nameof(Lengths))]
    public void The_selective_scan_s_kernel_gives_the_gradients_of_the_operators(long T) => SameGradients(
        [Normal(2, T, 5), Uniform(2, T, 5), -Uniform(5, 3), Normal(2, T, 3), Normal(2, T, 3), Normal(5), Normal(2, 5, 3)],
        given => Ops.SelectiveScan(given[0], given[1], given[2], given[3], given[4], given[5], given[6]),
        given => Ops.SelectiveScanByOperators(given[0], given[1], given[2], given[3], given[4], given[5], given[6]));

    [Theory, MemberData(nameof(Lengths))]
    public void The_kernel_of_Longhorn_gives_the_gradients_of_the_operators(long T) => SameGradients(
        [Normal(2, T, 5), Uniform(2, T, 5), Normal(2, T, 3), Normal(2, T, 3), Normal(5), Normal(2, 5, 3)],
        given => Ops.Longhorn(given[0], given[1], given[2], given[3], given[4], given[5]),
        given => Ops.LonghornByOperators(
            given[0], given[1] / (1 + given[1] * given[2].square().sum(-1, keepdim: true)), given[2], given[3], given[4], given[5]));

    [Theory, MemberData(nameof(Lengths))]
    public void The_kernel_of_Mamba_2_gives_the_gradients_of_the_operators(long T) => SameGradients(
        [Normal(2, T, 4, 5), Uniform(2, T, 4), -Uniform(4), Normal(2, T, 2, 3), Normal(2, T, 2, 3), Normal(4, 5), Normal(2, 4, 3, 5)],
        given => Ops.StateSpaceDuality(given[0], given[1], given[2], given[3], given[4], given[5], given[6]),
        given => Ops.DualityByOperators(given[0], given[1], given[2], given[3], given[4], given[5], given[6]));

    // Of the output alone, of the state alone, and of both; the operators compute in double precision.
    private static void SameGradients(Tensor[] inputs, Func<Tensor[], (Tensor, Tensor)> kernel, Func<Tensor[], (Tensor, Tensor)> operators)
    {
        foreach (var (ofOutput, ofState) in new[] { (1, 0), (0, 1), (1, 1) })
        {
            var expected = Gradients(operators, ScalarType.Float64);
            var actual = Gradients(kernel, ScalarType.Float32);
            for (int i = 0; i < inputs.Length; i++) Near.Equal(expected[i], actual[i], because: $"gradients of input {i}");

            Tensor[] Gradients(Func<Tensor[], (Tensor, Tensor)> compute, ScalarType type)
            {
                Tensor[] leaves = [.. inputs.Select(input => input.detach().to(type).clone().requires_grad_())];
                var (y, state) = compute(leaves);
                var loss = zeros(1, type);
                if (ofOutput == 1) loss = loss + (y * y).sum();
                if (ofState == 1) loss = loss + (state * state).sum();
                loss.backward();
                return [.. leaves.Select(leaf => leaf.grad ?? zeros_like(leaf))];
            }
        }
    }

    private Tensor Normal(params long[] shape) => randn(shape, generator: random);

    private Tensor Uniform(params long[] shape) => rand(shape, generator: random);
}
