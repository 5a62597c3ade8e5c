using ReadTwice.Native;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Bench;

/// <summary>Linear attention and its prefix form against softmax attention and against what torch operators make of the same.</summary>
/// <remarks>The shape of the paper's table: 16 heads, keys of width 16, values of width 64, float32.</remarks>
public static class KernelBench
{
    private const long H = 16, K = 16, V = 64;
    private const double Scale = 0.25, Epsilon = 1e-12;
    private const long LongestQuadratic = 4096, LongestComposite = 8192;

    /// <summary>A row for each peer and length, as they are measured.</summary>
    /// <param name="lengths">Tokens.</param>
    /// <param name="B">Texts at once.</param>
    /// <param name="rounds">Samples of each contender; fewer where one takes seconds.</param>
    public static IEnumerable<Row> Run(IEnumerable<long> lengths, long B = 1, int rounds = 7)
    {
        foreach (long T in lengths)
        {
            foreach (var row in Forward(B, T, rounds)) yield return row;
            foreach (var row in Training(B, T, rounds)) yield return row;
        }
    }

    private static List<Row> Forward(long B, long T, int rounds)
    {
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        var given = new Inputs(B, T);
        var prefix = new EncodedPrefix(randn(B, T, H, K), given.V);
        var (q2, k2, v2) = (given.Q.repeat(1, 2, 1, 1), given.K.repeat(1, 2, 1, 1), given.V.repeat(1, 2, 1, 1));
        int threads = Libtorch.Threads;

        Contender causal = new("linear attention", () => Free(Ops.TaylorAttention(given.Q, given.K, given.V, given.S, given.Z, Scale, Epsilon)));
        Contender prefixed = new("prefix linear attention", () => Free(Ops.TaylorAttention(given.Q, given.K, given.V, given.S, given.Z, Scale, Epsilon, prefix: prefix)));
        Contender twice = new("linear attention over the text twice", () => Free(Ops.TaylorAttention(q2, k2, v2, given.S, given.Z, Scale, Epsilon)));
        Contender softmax = new("softmax attention (libtorch, flash)", () => nn.functional.scaled_dot_product_attention(given.SoftQ, given.SoftK, given.SoftV, is_casual: true).Dispose());
        Contender composite = new("linear attention in torch operators, chunks", () => Free(Ops.TaylorAttentionByOperators(given.Q, given.K, given.V, given.S, given.Z, Scale, Epsilon, null, null)));
        Contender quadratic = new("linear attention in torch operators, quadratic", () => Quadratic(given).Dispose());
        var peak = FmaPeak.Contender(threads);

        int few = T >= 16384 ? Math.Min(rounds, 3) : rounds;
        var rows = new List<Row>();
        var shape = Shape(B, T);
        List<Contender> peers = [causal, softmax, peak];
        if (T <= LongestComposite) peers.Add(composite);
        if (T <= LongestQuadratic && B == 1) peers.Add(quadratic);
        var times = Stopwatches.Race(few, peers);
        double agreement = T <= LongestComposite ? Difference(given) : double.NaN;
        rows.AddRange(Row.Of("linear attention forward", shape, peers, times, i => peers[i] == composite || peers[i] == quadratic ? agreement : double.NaN)
            .Where(row => row.Peer != peak.Name));
        rows.Add(FmaPeak.Row("linear attention forward", shape, times[0], times[2], Flops(B, T), threads));

        List<Contender> prefixPeers = [prefixed, causal, softmax];
        times = Stopwatches.Race(few, prefixPeers);
        rows.AddRange(Row.Of("prefix linear attention forward", shape, prefixPeers, times, _ => double.NaN));
        List<Contender> twicePeers = [twice, softmax];
        times = Stopwatches.Race(few, twicePeers);
        rows.AddRange(Row.Of("JRT-Prompt, linear attention over 2T", shape, twicePeers, times, _ => double.NaN));
        return rows;
    }

    private static List<Row> Training(long B, long T, int rounds)
    {
        if (T > LongestComposite) return [];
        using var scope = NewDisposeScope();
        var given = new Inputs(B, T);
        var (q, k, v) = (given.Q.requires_grad_(), given.K.requires_grad_(), given.V.requires_grad_());
        var (sq, sk, sv) = (given.SoftQ.requires_grad_(), given.SoftK.requires_grad_(), given.SoftV.requires_grad_());
        var dO = randn(B, T, H, V);
        var dSoft = dO.transpose(1, 2).contiguous();

        Contender forward = new("linear attention forward, recorded", () =>
        {
            using var each = NewDisposeScope();
            _ = Ops.TaylorAttention(q, k, v, given.S, given.Z, Scale, Epsilon);
        });
        Contender ours = new("linear attention forward + backward", () => Backward(() => Ops.TaylorAttention(q, k, v, given.S, given.Z, Scale, Epsilon).O, dO, q, k, v));
        Contender composite = new("linear attention in torch operators, chunks, forward + backward", () => Backward(
            () => Ops.TaylorAttentionByOperators(q, k, v, given.S, given.Z, Scale, Epsilon, null, null).O, dO, q, k, v));
        Contender softmax = new("softmax attention (libtorch, flash), forward + backward", () => Backward(
            () => nn.functional.scaled_dot_product_attention(sq, sk, sv, is_casual: true), dSoft, sq, sk, sv));
        List<Contender> peers = [ours, composite, softmax, forward];
        var times = Stopwatches.Race(T >= 8192 ? Math.Min(rounds, 3) : rounds, peers);
        return [.. Row.Of("linear attention forward + backward", Shape(B, T), peers, times, _ => double.NaN)];
    }

    /// <summary>Multiplications and additions of a causal pass: 39.8 thousand a token and head between chunks, and 82 for each token of a chunk.</summary>
    private static double Flops(long B, long T) => B * T * H * (4 * 153 * (V + 1) + 82.0 * Math.Min(48, T));

    private static void Backward(Func<Tensor> forward, Tensor dO, params Tensor[] leaves)
    {
        using var each = NewDisposeScope();
        forward().backward([dO]);
        foreach (var leaf in leaves) leaf.grad!.zero_();
    }

    private static Tensor Quadratic(Inputs given)
    {
        using var each = NewDisposeScope();
        var s = Ops.Product(given.Q.transpose(1, 2) * Number(Scale), given.K.transpose(1, 2).transpose(-2, -1));
        var A = s.Plus(1).Plus(s.pow(Number(2)) / Number(2)).tril();
        return (Ops.Product(A, given.V.transpose(1, 2)) / A.sum(-1, keepdim: true)).MoveToOuterDisposeScope();
    }

    private static double Difference(Inputs given)
    {
        using var each = NewDisposeScope();
        var ours = Ops.TaylorAttention(given.Q, given.K, given.V, given.S, given.Z, Scale, Epsilon).O;
        var theirs = Ops.TaylorAttentionByOperators(given.Q, given.K, given.V, given.S, given.Z, Scale, Epsilon, null, null).O;
        return Agreement.Of(ours, theirs);
    }

    private static void Free((Tensor O, Tensor S, Tensor Z) results)
    {
        results.O.Dispose();
        results.S.Dispose();
        results.Z.Dispose();
    }

    private static Dictionary<string, long> Shape(long B, long T) => new() { ["B"] = B, ["T"] = T, ["H"] = H, ["K"] = K, ["V"] = V };

    private sealed record Inputs(long B, long T)
    {
        public Tensor Q { get; } = randn(B, T, H, KernelBench.K);
        public Tensor K { get; } = randn(B, T, H, KernelBench.K);
        public Tensor V { get; } = randn(B, T, H, KernelBench.V);
        public Tensor S { get; } = zeros(B, H, Layers.TaylorFeatureMap.Width(KernelBench.K), KernelBench.V);
        public Tensor Z { get; } = zeros(B, H, Layers.TaylorFeatureMap.Width(KernelBench.K));
        public Tensor SoftQ { get; } = randn(B, H, T, KernelBench.V);
        public Tensor SoftK { get; } = randn(B, H, T, KernelBench.V);
        public Tensor SoftV { get; } = randn(B, H, T, KernelBench.V);
    }
}
