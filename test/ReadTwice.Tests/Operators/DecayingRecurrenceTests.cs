using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Operators;

/// <summary>The recurrences over a decaying state: many tokens at once are as many steps, however strong the decay.</summary>
public sealed class DecayingRecurrenceTests : IDisposable
{
    private const long B = 2, H = 3, K = 10, V = 7;

    private readonly DisposeScope scope = NewDisposeScope();

    public DecayingRecurrenceTests()
    {
        Native.Libtorch.Threads = 1;
        manual_seed(5);
    }

    public static TheoryData<string> Operators => ["delta rule", "gated delta rule", "kda", "comba", "rwkv4", "rwkv6", "rwkv7"];

    public void Dispose() => scope.Dispose();

    [Theory, MemberData(nameof(Operators))]
    public void Tokens_read_at_once_give_what_they_give_one_by_one(string name)
    {
        foreach (long T in (long[])[1, 2, 3, 63, 64, 65, 130])
        {
            var run = Make(name, T);
            var whole = run.Read(run.Inputs, run.State);
            var learning = run.Read([.. run.Inputs.Select(input => input.clone().requires_grad_())], run.State);
            Near.Equal(whole.O, learning.O.detach(), because: $"{T} outputs with gradients");
            foreach (var (atOnce, withGradients) in whole.State.Zip(learning.State)) Near.Equal(atOnce, withGradients.detach(), because: $"the state after {T}");
            var state = run.State;
            var outputs = new List<Tensor>();
            for (long t = 0; t < T; t++)
            {
                (var o, state) = run.Read([.. run.Inputs.Select(input => input.narrow(1, t, 1))], state);
                outputs.Add(o);
            }
            Near.Equal(cat(outputs, 1), whole.O, because: $"{T} outputs");
            foreach (var (stepped, atOnce) in state.Zip(whole.State)) Near.Equal(stepped, atOnce, because: $"the state after {T}");
            Assert.True(whole.O.isfinite().all().item<bool>());
        }
    }

    [Theory, MemberData(nameof(Operators))]
    public void A_strong_decay_gives_zeros_and_finite_gradients(string name)
    {
        var run = Make(name, 70);
        Tensor[] leaves = [.. run.Inputs.Concat(run.State).Select(tensor => tensor.clone().requires_grad_())];
        var (o, state) = run.Read(leaves[..run.Inputs.Length], leaves[run.Inputs.Length..]);
        (o.sum() + state.Select(tensor => tensor.sum()).Aggregate((a, b) => a + b)).backward();
        Assert.All(leaves, leaf => Assert.True(leaf.grad is null || leaf.grad.isfinite().all().item<bool>()));
    }

    // Every third token fades all there was, as nothing in float32 survives; the others fade a little, and some not at all.
    private static Tensor Decay(params long[] shape)
    {
        var log = -rand(shape) * 0.5;
        log = log.masked_fill(rand(shape).lt(0.1), 0);
        var strong = (arange(shape[1]) % 3).eq(2).view([1, -1, .. Enumerable.Repeat(1L, shape.Length - 2)]);
        return log.masked_fill(strong.logical_and(rand(shape).lt(0.9)), -100).masked_fill(rand(shape).lt(0.02), -1e9f);
    }

    private static Run Make(string name, long T)
    {
        var (q, k, v) = (randn(B, T, H, K), nn.functional.normalize(randn(B, T, H, K), dim: -1), randn(B, T, H, V));
        var beta = rand(B, T, H);
        Tensor[] S = [randn(B, H, K, V)];
        Run Delta(Tensor? log, Tensor? p = null) => new([q, k, v, beta, .. new[] { log, p }.OfType<Tensor>()], S, (x, s) =>
        {
            var (o, next) = Ops.DeltaRule(x[0], x[1], x[2], x[3], log is null ? null : x[4], s[0], 0.3, p is null ? null : x[5]);
            return (o, [next]);
        });
        switch (name)
        {
            case "delta rule": return Delta(null);
            case "gated delta rule": return Delta(Decay(B, T, H));
            case "kda": return Delta(Decay(B, T, H, K));
            case "comba": return Delta(Decay(B, T, H), nn.functional.normalize(randn(B, T, H, K), dim: -1));
            case "rwkv6":
                var u = randn(H, K);
                return new([q, k, v, Decay(B, T, H, K)], S, (x, s) =>
                {
                    var (o, next) = Ops.Rwkv6(x[0], x[1], x[2], x[3], u, s[0]);
                    return (o, [next]);
                });
            case "rwkv7":
                return new([q, Decay(B, T, H, K), k, v, -k, k * rand(B, T, H, K)], S, (x, s) =>
                {
                    var (o, next) = Ops.Rwkv7(x[0], x[1], x[2], x[3], x[4], x[5], s[0]);
                    return (o, [next]);
                });
            default:
                var (w, first) = (tensor(new float[] { -1e9f, -100, -3, -0.5f, 0 }), randn(5));
                return new([randn(B, T, 5) * 20, randn(B, T, 5)], [randn(B, 5), rand(B, 5), randn(B, 5)], (x, s) =>
                {
                    var (o, num, den, max) = Ops.Rwkv4(x[0], x[1], w, first, s[0], s[1], s[2]);
                    return (o, [num, den, max]);
                });
        }
    }

    private sealed record Run(Tensor[] Inputs, Tensor[] State, Func<Tensor[], Tensor[], (Tensor O, Tensor[] State)> Read);
}
