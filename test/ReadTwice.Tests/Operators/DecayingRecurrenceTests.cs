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

    /// <summary>Those whose state is a matrix.</summary>
    public static TheoryData<string> Matrices => ["delta rule", "gated delta rule", "kda", "comba", "rwkv6", "rwkv7"];

    public void Dispose() => scope.Dispose();

    [Theory, MemberData(nameof(Operators))]
    public void Tokens_read_at_once_give_what_they_give_one_by_one(string name)
    {
        foreach (long T in (long[])[1, 2, 3, 63, 64, 65, 130])
        {
            var run = Make(name, T);
            var whole = run.Read(run.Inputs, run.State);
            Same(whole, run.Read([.. run.Inputs.Select(input => input.clone().requires_grad_())], run.State), $"{T} tokens with gradients");
            Same(whole, run.InChunks(run.Inputs, run.State), $"{T} tokens in chunks");
            var state = run.State;
            var outputs = new List<Tensor>();
            for (long t = 0; t < T; t++)
            {
                (var o, state) = run.Read([.. run.Inputs.Select(input => input.dim() == 2 ? input : input.narrow(1, t, 1))], state);
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
        foreach (var read in (Form[])[run.Read, run.InChunks])
            Assert.All(Gradients(read, run.Inputs, run.State), gradient => Assert.True(gradient.isfinite().all().item<bool>()));
    }

    [Theory, MemberData(nameof(Matrices))]
    public void Gradients_are_those_of_the_loop_over_tokens_in_double_precision(string name)
    {
        foreach (long T in (long[])[1, 2, 15, 16, 17, 50])
        {
            var run = Make(name, T);
            var expected = Gradients(run.Loop!, InDouble(run.Inputs), InDouble(run.State));
            foreach (var (theirs, ours) in expected.Zip(Gradients(run.Read, run.Inputs, run.State))) Near.Equal(theirs, ours, because: $"a gradient of {T} tokens");
        }
        static Tensor[] InDouble(Tensor[] tensors) => [.. tensors.Select(tensor => tensor.to(ScalarType.Float64))];
    }

    [Fact]
    public void RWKV_4s_kernel_gives_the_values_and_gradients_of_its_doubling_sums()
    {
        foreach (var (T, D) in ((long, long)[])[(1, 3), (37, 64), (65, 77)])
        {
            Tensor[] inputs = [randn(B, T, D) * 5, randn(B, T, D), -rand(D), randn(D), randn(B, D), rand(B, D), randn(B, D)];
            Tensor[] cotangents = [randn(B, T, D), randn(B, D), randn(B, D)];
            var (ours, byDoubling) = (Run(Ops.Rwkv4), Run(Ops.Rwkv4ByDoubling));
            for (int i = 0; i < ours.Count; i++) Near.Equal(byDoubling[i], ours[i], because: $"{i} of T = {T}, D = {D}");

            List<Tensor> Run(Func<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, (Tensor Y, Tensor Num, Tensor Den, Tensor Max)> form)
            {
                Tensor[] x = [.. inputs.Select(input => input.clone().requires_grad_())];
                var (y, num, den, max) = form(x[0], x[1], x[2], x[3], x[4], x[5], x[6].detach());
                ((y * cotangents[0]).sum() + (num * cotangents[1]).sum() + (den * cotangents[2]).sum()).backward();
                return [y.detach(), num.detach(), den.detach(), max, .. x[..6].Select(leaf => leaf.grad!)];
            }
        }
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
        Tensor[] S = [randn(B, H, K, V)];
        switch (name)
        {
            case "delta rule": return Delta(null);
            case "gated delta rule": return Delta(Decay(B, T, H));
            case "kda": return Delta(Decay(B, T, H, K));
            case "comba": return Delta(Decay(B, T, H), nn.functional.normalize(randn(B, T, H, K), dim: -1));
            case "rwkv6":
                return new([q, k, v, Decay(B, T, H, K), randn(H, K)], S, One((x, s) => Ops.Rwkv6(x[0], x[1], x[2], x[3], x[4], s)))
                {
                    InChunks = One((x, s) => Ops.Rwkv6InChunks(x[0], x[1], x[2], x[3], x[4], s)),
                    Loop = Loop((x, t, s) =>
                    {
                        var written = Column(x[1], t) * Row(x[2], t);
                        var o = (Column(x[0], t) * (s + x[4].unsqueeze(-1) * written)).sum(-2);
                        return (o, Column(x[3], t).exp() * s + written);
                    }),
                };
            case "rwkv7":
                return new(
                    [q, Decay(B, T, H, K), k, v, -k, k * rand(B, T, H, K)], S, One((x, s) => Ops.Rwkv7(x[0], x[1], x[2], x[3], x[4], x[5], s)))
                {
                    InChunks = One((x, s) => Ops.Rwkv7InChunks(x[0], x[1], x[2], x[3], x[4], x[5], s)),
                    Loop = Loop((x, t, s) =>
                    {
                        var answer = (Column(x[4], t) * s).sum(-2, keepdim: true);
                        s = Column(x[1], t).exp() * s + Column(x[5], t) * answer + Column(x[2], t) * Row(x[3], t);
                        return ((Column(x[0], t) * s).sum(-2), s);
                    }),
                };
            default:
                var (w, first) = (tensor(new float[] { -1e9f, -100, -3, -0.5f, 0 }), randn(5));
                return new([randn(B, T, 5) * 20, randn(B, T, 5)], [randn(B, 5), rand(B, 5), randn(B, 5)], Rwkv4(Ops.Rwkv4)) { InChunks = Rwkv4(Ops.Rwkv4ByDoubling) };

                Form Rwkv4(Func<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, (Tensor Y, Tensor Num, Tensor Den, Tensor Max)> form) => (x, s) =>
                {
                    var (o, num, den, max) = form(x[0], x[1], w, first, s[0], s[1], s[2]);
                    return (o, [num, den, max]);
                };
        }

        // Some tokens write nothing, and some twice the difference, so that the state answers them with the opposite.
        Run Delta(Tensor? log, Tensor? p = null)
        {
            var beta = (rand(B, T, H) * 3 - 0.5).clamp(0, 2);
            return new([q, k, v, beta, .. new[] { log, p }.OfType<Tensor>()], S, One((x, s) => Ops.DeltaRule(x[0], x[1], x[2], x[3], Log(x), s, 0.3, P(x))))
            {
                InChunks = One((x, s) => Ops.DeltaRuleInChunks(x[0], x[1], x[2], x[3], Log(x), s, 0.3, P(x))),
                Loop = Loop((x, t, s) =>
                {
                    var faded = Log(x) is { } l ? s * (l.dim() == 3 ? l.unsqueeze(-1) : l).select(1, t).unsqueeze(-1).exp() : s;
                    var answer = P(x) is { } asks ? (Column(asks, t) * s).sum(-2, keepdim: true) : (Column(x[1], t) * faded).sum(-2, keepdim: true);
                    s = faded + Column(x[1], t) * (Row(x[2], t) - answer) * x[3].select(1, t).unsqueeze(-1).unsqueeze(-1);
                    return (0.3 * (Column(x[0], t) * s).sum(-2), s);
                }),
            };
            Tensor? Log(Tensor[] x) => log is null ? null : x[4];
            Tensor? P(Tensor[] x) => p is null ? null : x[5];
        }
    }

    // [B, T, H, n] -> a token's [B, H, n, 1] and [B, H, 1, n].
    private static Tensor Column(Tensor x, long t) => x.select(1, t).unsqueeze(-1);

    private static Tensor Row(Tensor x, long t) => x.select(1, t).unsqueeze(-2);

    private static Form One(Func<Tensor[], Tensor, (Tensor O, Tensor S)> form) => (x, s) =>
    {
        var (o, next) = form(x, s[0]);
        return (o, [next]);
    };

    private static Form Loop(Func<Tensor[], long, Tensor, (Tensor O, Tensor S)> token) => One((x, s) =>
    {
        var outputs = new List<Tensor>();
        for (long t = 0; t < x[0].size(1); t++)
        {
            (var o, s) = token(x, t, s);
            outputs.Add(o);
        }
        return (stack(outputs, 1), s);
    });

    // Of a weighed sum of everything that comes out.
    private static List<Tensor> Gradients(Form form, Tensor[] inputs, Tensor[] state)
    {
        Tensor[] leaves = [.. inputs.Concat(state).Select(tensor => tensor.clone().requires_grad_())];
        var (o, after) = form(leaves[..inputs.Length], leaves[inputs.Length..]);
        var sums = after.Prepend(o).Where(result => result.requires_grad).Select((result, i) => (result * (arange(result.numel()) * (i + 1.7)).sin().view(result.shape)).sum());
        sums.Aggregate((a, b) => a + b).backward();
        return [.. leaves.Select(leaf => leaf.grad).OfType<Tensor>()];
    }

    private static void Same((Tensor O, Tensor[] State) expected, (Tensor O, Tensor[] State) actual, string what)
    {
        Near.Equal(expected.O, actual.O.detach(), because: $"the outputs of {what}");
        foreach (var (theirs, ours) in expected.State.Zip(actual.State)) Near.Equal(theirs, ours.detach(), because: $"the state after {what}");
    }

    private delegate (Tensor O, Tensor[] State) Form(Tensor[] inputs, Tensor[] state);

    private sealed record Run(Tensor[] Inputs, Tensor[] State, Form Read)
    {
        /// <summary>The same by libtorch's operators.</summary>
        public required Form InChunks { get; init; }

        /// <summary>The same token by token.</summary>
        public Form? Loop { get; init; }
    }
}
