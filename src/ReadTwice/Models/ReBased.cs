using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>ReBased (arXiv 2402.10644): linear attention whose weights are the squares of products of normalised queries and keys.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is S [B, H, F, V + 1], F = K (K + 1) / 2, the last column the normaliser's.</remarks>
/// <param name="D">Model width.</param>
/// <param name="H">Heads.</param>
/// <param name="K">Width of a query or key.</param>
/// <param name="epsilon">Added to the normaliser.</param>
/// <param name="weights">q_proj, k_proj, v_proj, o_proj, and feature_map, the norm of queries and keys alike.</param>
public sealed class ReBasedMixer(long D, long H, long K, double epsilon, WeightSource weights) : SequenceMixer
{
    private readonly Linear query = weights.Linear("q_proj", D, H * K);
    private readonly Linear key = weights.Linear("k_proj", D, H * K);
    private readonly Linear value = weights.Linear("v_proj", D, D);
    private readonly LayerNorm featureMap = new(weights.Vector("feature_map.gamma", K, Init.Ones), weights.Vector("feature_map.beta", K), 1e-5);
    private readonly Linear output = weights.Linear("o_proj", D, D);

    /// <inheritdoc/>
    public override LayerState NewState(long B) => new() { ["S"] = zeros(B, H, K * (K + 1) / 2, D / H + 1) };

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        Tensor Heads(Linear projection, long width) => projection.call(x).unflatten(2, [H, width]);
        var q = featureMap.call(Heads(query, K)) * Number(Math.Pow(K, -0.5));
        var k = featureMap.call(Heads(key, K));
        if (pass.Mask is { } mask) k = k * mask.unsqueeze(-1).unsqueeze(-1);
        (var o, pass.State["S"]) = Ops.QuadraticAttention(q, k, Heads(value, D / H), pass.State["S"], epsilon);
        return output.call(o.flatten(2)).MoveToOuterDisposeScope();
    }
}
