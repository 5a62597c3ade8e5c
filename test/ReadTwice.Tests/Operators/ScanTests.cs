using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Operators;

/// <summary>Recurrences against the plain loop that they stand for, where the golden data does not reach.</summary>
public sealed class ScanTests : IDisposable
{
    private readonly DisposeScope scope = NewDisposeScope();
    private readonly torch.Generator random;

    public ScanTests()
    {
        Native.Libtorch.Threads = 1;
        random = new torch.Generator(7);
    }

    public void Dispose()
    {
        random.Dispose();
        scope.Dispose();
    }

    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(63), InlineData(64), InlineData(65), InlineData(130)]
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

    [Theory, InlineData(1), InlineData(63), InlineData(64), InlineData(65), InlineData(130)]
    public void Heads_that_share_maps_give_what_a_loop_over_tokens_gives(long T)
    {
        // Every tenth step all but wipes the state, and in between hardly any of it is lost.
        var delta = Uniform(2, T, 6) * 0.1 + arange(T).remainder(10).eq(3).to(ScalarType.Float32).view(1, T, 1) * 100;
        var (x, A, D) = (Normal(2, T, 6, 5), -Uniform(6) - 0.5, Normal(6, 5));
        var (Bt, Ct, S0) = (Normal(2, T, 2, 3), Normal(2, T, 2, 3), Normal(2, 6, 5, 3));
        var (y, last) = Ops.StateSpaceDuality(x, delta, A, Bt, Ct, D, S0);

        var S = S0;
        for (long t = 0; t < T; t++)
        {
            var (d, b, c) = (delta.select(1, t), Bt.select(1, t).repeat_interleave(3, 1), Ct.select(1, t).repeat_interleave(3, 1));
            S = (d * A).exp().unsqueeze(-1).unsqueeze(-1) * S + (d.unsqueeze(-1) * x.select(1, t)).unsqueeze(-1) * b.unsqueeze(2);
            Near.Equal((S * c.unsqueeze(2)).sum(-1) + D * x.select(1, t), y.select(1, t), because: $"what token {t} reads");
        }
        Near.Equal(S, last);
    }

    [Fact]
    public void A_decay_to_nothing_is_neither_infinite_nor_undefined()
    {
        var (x, delta) = (Normal(1, 100, 2, 3).requires_grad_(), full([1, 100, 2], 100f).requires_grad_());
        var (y, last) = Ops.StateSpaceDuality(x, delta, -ones(2), Normal(1, 100, 1, 4), Normal(1, 100, 1, 4), ones(2, 1), Normal(1, 2, 3, 4));
        (y.sum() + last.sum()).backward();
        Assert.True(y.isfinite().all().item<bool>());
        Assert.True(last.isfinite().all().item<bool>());
        Assert.True(x.grad!.isfinite().all().item<bool>());
        Assert.True(delta.grad!.isfinite().all().item<bool>());
    }

    private Tensor Normal(params long[] shape) => randn(shape, generator: random);

    private Tensor Uniform(params long[] shape) => rand(shape, generator: random);
}
