using ReadTwice.Models;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Verification;

internal static partial class OperatorFixture
{
    // GLA, simple GLA, retention and plain linear attention differ in the decay: a channel's, a head's, one that is given, none.
    private static Dictionary<string, Tensor> LinearAttention(Inputs given) => LinearAttention(given, given.Has("g") ? given["g"] : null);

    private static Dictionary<string, Tensor> Retention(Inputs given) => LinearAttention(given, RetNet.LogDecay(given["q"].size(2)).expand_as(given["q"].select(3, 0)));

    private static Dictionary<string, Tensor> LinearAttention(Inputs given, Tensor? decay)
    {
        var (q, k, v) = (given["q"], given["k"], given["v"]);
        var h0 = given.Has("h0") ? given["h0"] : zeros(q.size(0), q.size(2), q.size(3), v.size(3));
        if (decay is { } g && g.dim() == 3) decay = g.unsqueeze(-1);
        var (o, ht) = Ops.LinearAttention(q, k, v, h0, Math.Pow(q.size(3), -0.5), decay);
        return new() { ["o"] = o, ["ht"] = ht };
    }

    private static Dictionary<string, Tensor> GatedSlots(Inputs given)
    {
        var (q, k, v, s, g) = (given["q"], given["k"], given["v"], given["s"], given["g"]);
        var hk0 = given.Has("hk0") ? given["hk0"] : zeros(q.size(0), q.size(2), k.size(3), s.size(3));
        var hv0 = given.Has("hv0") ? given["hv0"] : zeros(q.size(0), q.size(2), s.size(3), v.size(3));
        var (o, hk, hv) = Ops.GatedSlotAttention(q, k, v, s, g, hk0, hv0, Math.Pow(q.size(3), -0.5));
        return new() { ["o"] = o, ["hkt"] = hk, ["hvt"] = hv };
    }

    private static Dictionary<string, Tensor> Hgrn(Inputs given)
    {
        var x = given["x"];
        var (o, ht) = Ops.Scan(given["g"].exp(), x, given.Has("h0") ? given["h0"] : zeros(x.size(0), x.size(2)));
        return new() { ["o"] = o, ["ht"] = ht };
    }

    private static Dictionary<string, Tensor> Rebased(Inputs given)
    {
        var (q, k, v) = (given["q"], given["k"], given["v"]);
        long[] shape = [q.size(0), q.size(2), q.size(3) * (q.size(3) + 1) / 2, v.size(3) + 1];
        var (o, _) = Ops.QuadraticAttention(q * Number(Math.Pow(q.size(3), -0.5)), k, v, zeros(shape), 1e-5);
        return new() { ["o"] = o };
    }
}
