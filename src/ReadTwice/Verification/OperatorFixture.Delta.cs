using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Verification;

internal static partial class OperatorFixture
{
    private static Dictionary<string, Tensor> DeltaRule(Inputs given)
    {
        var (q, k, v) = (given["q"], given["k"], given["v"]);
        var (o, S) = Ops.DeltaRule(
            q, k, v, given["beta"], given.Has("g") ? given["g"] : null, Matrix(given, k, v), 1 / Math.Sqrt(k.size(3)), given.Has("p") ? given["p"] : null);
        return new() { ["o"] = o, ["ht"] = S };
    }

    private static Dictionary<string, Tensor> Rwkv6(Inputs given)
    {
        var (k, v) = (given["k"], given["v"]);
        var (o, S) = Ops.Rwkv6(given["r"], k, v, given["w"], given["u"], Matrix(given, k, v));
        return new() { ["o"] = o, ["ht"] = S };
    }

    private static Dictionary<string, Tensor> Rwkv7(Inputs given)
    {
        var (k, v) = (given["k"], given["v"]);
        var (o, S) = Ops.Rwkv7(given["r"], given["w"], k, v, given["a"], given["b"], Matrix(given, k, v));
        return new() { ["o"] = o, ["ht"] = S };
    }

    // The given state, or zeros, [B, H, K, V].
    private static Tensor Matrix(Inputs given, Tensor k, Tensor v) =>
        given.Has("h0") ? given["h0"] : zeros(k.size(0), k.size(2), k.size(3), v.size(3));
}
