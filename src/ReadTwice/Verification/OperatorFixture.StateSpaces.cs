using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Verification;

internal static partial class OperatorFixture
{
    private static Dictionary<string, Tensor> SelectiveScan(Inputs given)
    {
        var (u, A) = (given["u"], given["A"]);
        var h0 = given.Has("h0") ? given["h0"] : zeros(u.size(0), u.size(2), A.size(1));
        var delta = given["delta"].Plus(given["delta_bias"]).Softplus();
        var (y, ht) = Ops.SelectiveScan(u, delta, A, given["B"], given["C"], given["D"], h0);
        return new() { ["o"] = y * nn.functional.silu(given["z"]), ["ht"] = ht };
    }

    private static Dictionary<string, Tensor> Longhorn(Inputs given)
    {
        var (x, k) = (given["x"], given["k"]);
        var h0 = given.Has("h0") ? given["h0"] : zeros(x.size(0), x.size(2), k.size(2));
        var (y, ht) = Ops.Longhorn(x, given["t"].sigmoid(), k, given["q"], given["D"], h0);
        return new() { ["o"] = y, ["ht"] = ht };
    }

    private static Dictionary<string, Tensor> StateSpaceDuality(Inputs given)
    {
        var (x, Bt) = (given["x"], given["B"]);
        var h0 = given.Has("h0") ? given["h0"] : zeros(x.size(0), x.size(2), x.size(3), Bt.size(3));
        var delta = given["dt"].Plus(given["dt_bias"]).Softplus();
        var (y, ht) = Ops.StateSpaceDuality(x, delta, given["A"], Bt, given["C"], given["D"].unsqueeze(-1), h0.transpose(-2, -1));
        return new() { ["o"] = y, ["ht"] = ht.transpose(-2, -1) };
    }
}
