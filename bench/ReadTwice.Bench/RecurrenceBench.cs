using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Bench;

/// <summary>The recurrences against the loop over tokens and against chunks of tokens, both in torch operators.</summary>
/// <remarks>Shapes of models of about 130 million parameters, one text, float32; of RWKV-7 and the delta rule 12 heads of 64 × 64.</remarks>
public static class RecurrenceBench
{
    private const long LongestLoop = 2048;

    // Float32 sums over thousands of tokens in another order, relative to the largest value.
    private const double MostDifference = 1e-3;

    private static readonly IReadOnlyList<(string Name, Func<long, Forms> Make)> recurrences =
    [
        ("selective scan, 1536 channels, N = 16", SelectiveScan), ("state space duality, 24 heads of 128 x 64", Duality), ("gated linear attention, 4 heads of 128 x 256", Gla),
        ("delta rule, 12 heads of 64 x 64", T => Delta(T, isGated: false)), ("gated delta rule, 12 heads of 64 x 64", T => Delta(T, isGated: true)),
        ("RWKV-7, 12 heads of 64 x 64", Rwkv7),
    ];

    /// <summary>A row for each recurrence, length and peer, as they are measured: forward, then forward and backward.</summary>
    /// <param name="lengths">Tokens.</param>
    /// <param name="rounds">Samples of each contender.</param>
    public static IEnumerable<Row> Run(IEnumerable<long> lengths, int rounds)
    {
        foreach (long T in lengths)
            foreach (var (name, make) in recurrences)
            {
                foreach (var row in Forward(name, make, T, rounds)) yield return row;
                foreach (var row in Training(name, make, T, rounds)) yield return row;
            }
    }

    private static List<Row> Forward(string name, Func<long, Forms> make, long T, int rounds)
    {
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        var forms = make(T);
        List<(Contender Contender, double Agreement)> contenders = [(Timed(name, forms.Ours), double.NaN), (Timed("chunks, torch operators", forms.Chunks), Compare(forms.Ours, forms.Chunks))];
        if (T <= LongestLoop) contenders.Add((Timed("loop over tokens, torch operators", forms.Loop), Compare(forms.Ours, forms.Loop)));
        var times = Stopwatches.Race(rounds, [.. contenders.Select(each => each.Contender)]);
        return [.. Row.Of(name, Shape(T), [.. contenders.Select(each => each.Contender)], times, i => contenders[i].Agreement)];

        Contender Timed(string what, Func<(Tensor O, Tensor S)> form) => new(what, () =>
        {
            using var each = NewDisposeScope();
            form();
        });
    }

    private static List<Row> Training(string name, Func<long, Forms> make, long T, int rounds)
    {
        using var scope = NewDisposeScope();
        var forms = make(T);
        foreach (var input in forms.Inputs) input.requires_grad_();
        List<Contender> contenders = [Timed($"{name}, forward + backward", forms.Ours), Timed("chunks, torch operators, forward + backward", forms.Chunks)];
        double agreement = GradientAgreement(forms);
        return [.. Row.Of(contenders[0].Name, Shape(T), contenders, Stopwatches.Race(rounds, contenders), _ => agreement)];

        Contender Timed(string what, Func<(Tensor O, Tensor S)> form) => new(what, () => Gradients(form, forms.Inputs));
    }

    private static List<Tensor> Gradients(Func<(Tensor O, Tensor S)> form, Tensor[] inputs)
    {
        using var each = NewDisposeScope();
        form().O.pow(Number(2)).sum().backward();
        var gradients = inputs.Select(input => input.grad!.MoveToOuterDisposeScope()).ToList();
        foreach (var input in inputs) input.grad = null;
        return gradients;
    }

    private static double GradientAgreement(Forms forms)
    {
        using var each = NewDisposeScope();
        return Gradients(forms.Ours, forms.Inputs).Zip(Gradients(forms.Chunks, forms.Inputs), Difference).Max();
    }

    private static double Compare(Func<(Tensor O, Tensor S)> ours, Func<(Tensor O, Tensor S)> theirs)
    {
        using var each = NewDisposeScope();
        var (a, b) = (ours(), theirs());
        return Math.Max(Difference(a.O, b.O), Difference(a.S, b.S));
    }

    private static double Difference(Tensor ours, Tensor theirs) => Agreement.Within(MostDifference, Agreement.Of(ours, theirs), "results");

    private static Dictionary<string, long> Shape(long T) => new() { ["T"] = T };

    private static Forms SelectiveScan(long T)
    {
        const long I = 1536, N = 16;
        Tensor[] x = [randn(1, T, I), (randn(1, T, I) - Number(3)).Softplus(), -(rand(I, N) * Number(15)).Plus(1), randn(1, T, N), randn(1, T, N), randn(I)];
        var h = zeros(1, I, N);
        return new(
            x, () => Ops.SelectiveScan(x[0], x[1], x[2], x[3], x[4], x[5], h), () => Ops.SelectiveScanByOperators(x[0], x[1], x[2], x[3], x[4], x[5], h),
            () => TokenLoops.SelectiveScan(x[0], x[1], x[2], x[3], x[4], x[5], h));
    }

    private static Forms Duality(long T)
    {
        const long H = 24, P = 64, N = 128;
        Tensor[] x = [randn(1, T, H, P), (randn(1, T, H) - Number(3)).Softplus(), -(rand(H) * Number(15)).Plus(1), randn(1, T, 1, N), randn(1, T, 1, N), randn(H, 1)];
        var S = zeros(1, H, N, P);
        return new(
            x, () => Ops.StateSpaceDuality(x[0], x[1], x[2], x[3], x[4], x[5], S), () => Ops.DualityByOperators(x[0], x[1], x[2], x[3], x[4], x[5], S),
            () => TokenLoops.Duality(x[0], x[1], x[2], x[3], x[4], x[5], S));
    }

    private static Forms Gla(long T)
    {
        const long H = 4, K = 128, V = 256;
        Tensor[] x = [randn(1, T, H, K), randn(1, T, H, K), randn(1, T, H, V), nn.functional.logsigmoid(randn(1, T, H, K)) / Number(16)];
        var S = zeros(1, H, K, V);
        return new(
            x, () => Ops.LinearAttention(x[0], x[1], x[2], S, 0.1, x[3]), () => Ops.LinearAttentionInChunks(x[0], x[1], x[2], S, 0.1, x[3]),
            () => TokenLoops.Gla(x[0], x[1], x[2], x[3], S, 0.1));
    }

    private static Forms Delta(long T, bool isGated)
    {
        const long H = 12, K = 64;
        Tensor[] x = [randn(1, T, H, K), Unit(T, H, K), randn(1, T, H, K), rand(1, T, H), .. isGated ? [nn.functional.logsigmoid(randn(1, T, H).Plus(3))] : Array.Empty<Tensor>()];
        var (S, log) = (zeros(1, H, K, K), isGated ? x[4] : null);
        return new(
            x, () => Ops.DeltaRule(x[0], x[1], x[2], x[3], log, S, 0.125), () => Ops.DeltaRuleInChunks(x[0], x[1], x[2], x[3], log, S, 0.125),
            () => TokenLoops.Delta(x[0], x[1], x[2], x[3], log, S, 0.125));
    }

    private static Forms Rwkv7(long T)
    {
        const long H = 12, K = 64;
        var key = Unit(T, H, K);
        Tensor[] x = [randn(1, T, H, K), randn(1, T, H, K).sigmoid() * Number(-0.6), randn(1, T, H, K), randn(1, T, H, K), -key, key * rand(1, T, H, K)];
        var S = zeros(1, H, K, K);
        return new(
            x, () => Ops.Rwkv7(x[0], x[1], x[2], x[3], x[4], x[5], S), () => Ops.Rwkv7InChunks(x[0], x[1], x[2], x[3], x[4], x[5], S),
            () => TokenLoops.Rwkv7(x[0], x[1], x[2], x[3], x[4], x[5], S));
    }

    private static Tensor Unit(long T, long H, long K) => nn.functional.normalize(randn(1, T, H, K), dim: -1);

    /// <summary>One recurrence in its forms, and what gradients are asked of.</summary>
    private sealed record Forms(Tensor[] Inputs, Func<(Tensor O, Tensor S)> Ours, Func<(Tensor O, Tensor S)> Chunks, Func<(Tensor O, Tensor S)> Loop);
}
