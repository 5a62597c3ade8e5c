using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using ReadTwice.Native;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Verification;

/// <summary>
/// An operator's inputs with what the authors' code computes from them: outputs, final state, and the gradients of
/// sum(o · do), from a state that is zero; and under names with init., from a given state, of sum(o · do) + sum(ht · dht).
/// </summary>
internal static partial class OperatorFixture
{
    // Float32 sums in another order, relative to the largest value; quadratic features double it.
    private static readonly Tolerance plain = new(0, 1e-5), quadratic = new(0, 2e-5);

    private static readonly Dictionary<string, Operator> operators = new()
    {
        ["based"] = new(quadratic, ["s0", "z0"], ["dst", "dzt"], Taylor),
        ["longhorn"] = new(plain, ["h0"], ["dht"], Longhorn),
        ["comba"] = new(plain, ["h0"], ["dht"], DeltaRule),
        ["delta_rule"] = new(plain, ["h0"], ["dht"], DeltaRule),
        ["gated_delta_rule"] = new(plain, ["h0"], ["dht"], DeltaRule),
        ["gla"] = new(plain, ["h0"], ["dht"], LinearAttention),
        ["gsa"] = new(plain, ["hk0", "hv0"], ["dhkt", "dhvt"], GatedSlots),
        ["hgrn"] = new(plain, ["h0"], ["dht"], Hgrn),
        ["kda"] = new(plain, ["h0"], ["dht"], DeltaRule),
        ["linear_attn"] = new(plain, ["h0"], ["dht"], LinearAttention),
        ["prefix_linear_attn"] = new(quadratic, ["s0", "z0"], ["dst", "dzt"], Taylor),
        ["rebased"] = new(quadratic, [], [], Rebased),
        ["retention"] = new(plain, ["h0"], ["dht"], Retention),
        ["rwkv6"] = new(plain, ["h0"], ["dht"], Rwkv6),
        ["rwkv7"] = new(plain, ["h0"], ["dht"], Rwkv7),
        ["selective_scan"] = new(plain, ["h0"], ["dht"], SelectiveScan),
        ["short_conv"] = new(plain, ["h0"], ["dht"], ShortConvolution),
        ["ssd"] = new(plain, ["h0"], ["dht"], StateSpaceDuality),
        ["simple_gla"] = new(plain, ["h0"], ["dht"], LinearAttention),
    };

    /// <summary>Runs an operator's file.</summary>
    public static IReadOnlyList<Comparison> Run(string path)
    {
        using var files = WeightFiles.Open(path);
        string name = files.Metadata.GetValueOrDefault("op") ?? Path.GetFileNameWithoutExtension(path);
        if (!operators.TryGetValue(name, out var op))
            throw new InvalidDataException($"{path}: the operator \"{name}\" is not known. Known: {string.Join(", ", operators.Keys.Order())}.");
        using var scope = NewDisposeScope();
        var given = files.Tensors.ToDictionary(entry => entry.Key, entry => TensorMemory.Map(entry.Value));
        var results = new List<Comparison>();
        results.AddRange(Run(name, op, given, "", path));
        if (given.Keys.Any(key => key.StartsWith("init.", StringComparison.Ordinal))) results.AddRange(Run(name, op, given, "init.", path));
        return results;
    }

    private static IEnumerable<Comparison> Run(string name, Operator op, Dictionary<string, Tensor> given, string start, string path)
    {
        bool fromState = start.Length > 0;
        var inputs = new Inputs(path, given, fromState, op.States);
        var outputs = op.Compute(inputs);
        var loss = (outputs["o"] * inputs.Cotangent("do")).sum();
        if (fromState)
            foreach (string cotangent in op.Cotangents)
                loss = loss.Plus((outputs[cotangent[1..]] * inputs.Cotangent(cotangent)).sum());
        loss.backward();

        string @case = fromState ? $"{name} from a state" : name;
        foreach (var (what, tensor) in outputs)
            if (given.TryGetValue(start + what, out var theirs)) yield return Comparison.Of(@case, what, tensor.detach(), theirs, op.Tolerance);
        foreach (var (what, tensor) in inputs.Leaves)
            if (given.TryGetValue($"{start}d.{what}", out var theirs))
                yield return Comparison.Of(@case, $"gradient of {what}", tensor.grad ?? zeros_like(tensor), theirs, op.Tolerance);
    }

    private static Dictionary<string, Tensor> Taylor(Inputs given)
    {
        var (q, k, v) = (given["q"], given["k"], given["v"]);
        long K = q.size(-1);
        double scale = 1 / Math.Sqrt(K);
        // The authors keep 1 + K + K² features; a query sees only what is symmetric in the last K², and only that is kept here.
        long[] shape = [q.size(0), q.size(2), 1 + K + K * K, v.size(-1)];
        var (s0, z0) = (given.Has("s0") ? given["s0"] : zeros(shape), given.Has("z0") ? given["z0"] : zeros(shape[..3]));
        var (S0, Z0) = (TaylorFeatureMap.Pack(s0, K, scale), TaylorFeatureMap.Pack(z0.unsqueeze(-1), K, scale).squeeze(-1));
        var prefix = given.Has("ke") ? new EncodedPrefix(given["ke"], given["ve"]) : null;
        var (o, S, z) = Ops.TaylorAttention(q, k, v, S0, Z0, scale, 1e-12, prefix: prefix);
        return new()
        {
            ["o"] = o,
            ["st"] = s0.Plus(TaylorFeatureMap.Unpack(S - S0, K, scale)),
            ["zt"] = z0.Plus(TaylorFeatureMap.Unpack((z - Z0).unsqueeze(-1), K, scale).squeeze(-1)),
        };
    }

    private static Dictionary<string, Tensor> ShortConvolution(Inputs given)
    {
        var (x, weight) = (given["x"], given["weight"]);
        long taps = weight.size(2);
        var h0 = given.Has("h0") ? given["h0"] : zeros(x.size(0), x.size(2), taps);
        // The authors keep the last K inputs; the oldest of them is never read again, but is part of what they return.
        var (y, _) = Ops.ShortConvolution(x, weight, given["bias"], h0.narrow(2, 1, taps - 1), silu: true);
        var all = cat([h0, x.transpose(1, 2)], 2);
        return new() { ["o"] = y, ["ht"] = all.narrow(2, all.size(2) - taps, taps) };
    }

    private sealed record Operator(
        Tolerance Tolerance, IReadOnlyList<string> States, IReadOnlyList<string> Cotangents, Func<Inputs, Dictionary<string, Tensor>> Compute);

    /// <summary>The inputs of one run, made leaves of its graph as they are asked for.</summary>
    private sealed class Inputs(string path, Dictionary<string, Tensor> given, bool fromState, IReadOnlyList<string> states)
    {
        public Dictionary<string, Tensor> Leaves { get; } = [];

        public bool Has(string name) => given.ContainsKey(name) && (fromState || !states.Contains(name));

        public Tensor this[string name] => Leaves.TryGetValue(name, out var leaf) ? leaf
            : Leaves[name] = Cotangent(name).clone().requires_grad_();

        public Tensor Cotangent(string name) => given.TryGetValue(name, out var tensor) ? tensor
            : throw new InvalidDataException($"{path}: the tensor {name} is missing.");
    }
}
