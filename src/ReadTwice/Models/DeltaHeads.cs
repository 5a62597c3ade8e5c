using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Sizes of the heads of the gated forms of the delta rule, which need not add up to the model's width.</summary>
/// <param name="D">Model width.</param>
/// <param name="H">Query and key heads.</param>
/// <param name="ValueHeads">Value heads, each with a state; a key head serves ValueHeads / H of them.</param>
/// <param name="K">Width of a query or key.</param>
/// <param name="V">Width of a value.</param>
public sealed record DeltaHeads(long D, long H, long ValueHeads, long K, long V)
{
    /// <summary>Reads num_heads, num_v_heads, head_dim and expand_v.</summary>
    internal static DeltaHeads From(ConfigJson config, long heads, long headDim, double expandV)
    {
        long H = config.Size("num_heads", heads), valueHeads = config.Size("num_v_heads", H), K = config.Size("head_dim", headDim);
        Fla.Part(valueHeads, "num_v_heads", H, "num_heads");
        long V = (long)(K * config.Double("expand_v", expandV));
        if (K < 1 || V < 1) throw new InvalidDataException($"config.json: head_dim is {K} and head_dim · expand_v is {V}; both must be at least 1.");
        return new(Fla.Width(config), H, valueHeads, K, V);
    }

    /// <summary>A state that has read nothing, with those of the projections' filters.</summary>
    public LayerState NewState(long B, params IEnumerable<FilteredProjection> projections)
    {
        var state = new LayerState { ["recurrent"] = zeros(B, ValueHeads, K, V) };
        foreach (var projection in projections) projection.AddTo(state, B);
        return state;
    }

    /// <summary>Queries or keys, [B, T, H · K], of unit length and as often as the value heads need them, [B, T, ValueHeads, K].</summary>
    public Tensor Units(Tensor x)
    {
        using var scope = NewDisposeScope();
        var heads = Unit(x.unflatten(2, [H, K]));
        return (H == ValueHeads ? heads.alias() : heads.repeat_interleave(ValueHeads / H, 2)).MoveToOuterDisposeScope();
    }

    /// <summary>Values, [B, T, ValueHeads · V], by head.</summary>
    public Tensor Values(Tensor x) => x.unflatten(2, [ValueHeads, V]);

    /// <summary>x / √(|x|² + 1e-6) over the last axis.</summary>
    public static Tensor Unit(Tensor x)
    {
        using var scope = NewDisposeScope();
        return (x * x.pow(Number(2)).sum(-1, keepdim: true).Plus(1e-6).rsqrt()).MoveToOuterDisposeScope();
    }
}
