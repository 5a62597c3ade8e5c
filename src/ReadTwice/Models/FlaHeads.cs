using ReadTwice.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Sizes of the heads of a mixer whose keys and values are as wide as the model, times an expansion.</summary>
/// <param name="D">Model width.</param>
/// <param name="H">Query heads.</param>
/// <param name="KeyHeads">Key and value heads; each serves H / KeyHeads neighbouring query heads.</param>
/// <param name="K">Width of a query or key.</param>
/// <param name="V">Width of a value.</param>
public sealed record FlaHeads(long D, long H, long KeyHeads, long K, long V)
{
    /// <summary>Reads num_heads, num_kv_heads, expand_k and expand_v.</summary>
    internal static FlaHeads From(ConfigJson config, long heads, double expandK, double expandV)
    {
        long H = config.Size("num_heads", heads), keyHeads = config.Size("num_kv_heads", H);
        Fla.Part(H, "num_heads", keyHeads, "num_kv_heads");
        long K = Fla.Part(Fla.Expanded(config, "expand_k", expandK), "hidden_size · expand_k", H, "num_heads");
        long V = Fla.Part(Fla.Expanded(config, "expand_v", expandV), "hidden_size · expand_v", H, "num_heads");
        return new(Fla.Width(config), H, keyHeads, K, V);
    }

    /// <summary>Channels of keys or values, [B, T, KeyHeads · n], as those of each query head, [B, T, H, n].</summary>
    public Tensor Repeat(Tensor x)
    {
        using var scope = NewDisposeScope();
        var heads = x.unflatten(2, [KeyHeads, x.size(2) / KeyHeads]);
        return (H == KeyHeads ? heads.alias() : heads.repeat_interleave(H / KeyHeads, 2)).MoveToOuterDisposeScope();
    }
}
