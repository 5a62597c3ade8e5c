using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Sizes of a linear-attention layer with the Taylor feature map.</summary>
/// <param name="D">Model width.</param>
/// <param name="H">Heads.</param>
/// <param name="K">Width of a query or key.</param>
/// <param name="V">Width of a value.</param>
/// <param name="Scale">Factor of q·k: the authors' 1 / √(feature width), not of the head width; their checkpoints need it.</param>
/// <param name="Epsilon">Added to the normaliser.</param>
public sealed record TaylorAttentionConfig(long D, long H, long K, long V, double Scale, double Epsilon)
{
    /// <summary>Nothing read: S [B, H, F, V] and z [B, H, F].</summary>
    public LayerState NewState(long B) => new()
    {
        ["S"] = zeros(B, H, TaylorFeatureMap.Width(K), V),
        ["z"] = zeros(B, H, TaylorFeatureMap.Width(K)),
    };

    /// <summary>The state as the authors keep it: kv_state [B, H, 1, V, 1 + K + K²] and k_state [B, H, 1, 1, 1 + K + K²].</summary>
    public IReadOnlyDictionary<string, Tensor> AsPublished(LayerState state) => new Dictionary<string, Tensor>
    {
        ["kv_state"] = TaylorFeatureMap.Unpack(state["S"], K, Scale).transpose(-2, -1).unsqueeze(2),
        ["k_state"] = TaylorFeatureMap.Unpack(state["z"].unsqueeze(-1), K, Scale).transpose(-2, -1).unsqueeze(2),
    };
}

/// <summary>
/// Prefix linear attention, the mixer of JRT-RNN (arXiv 2407.05483): the whole prefix is in the state before the first
/// query reads it, so a fact is found whether it stands before or after what asks for it. The rest is causal.
/// </summary>
/// <remarks>x and the result are [B, T, D]; the state is S [B, H, F, V] and z [B, H, F], F the packed feature width.</remarks>
public sealed class PrefixLinearAttention(TaylorAttentionConfig config, WeightSource weights, bool masks) : SequenceMixer
{
    private readonly Linear query = weights.Linear(nameof(query), config.D, config.H * config.K);
    private readonly Linear key = weights.Linear(nameof(key), config.D, config.H * config.K);
    private readonly Linear value = weights.Linear(nameof(value), config.D, config.H * config.V);
    private readonly Linear prefixKey = weights.Linear(nameof(prefixKey), config.D, config.H * config.K);
    private readonly Linear prefixValue = weights.Linear(nameof(prefixValue), config.D, config.H * config.V);
    private readonly Linear output = weights.Linear(nameof(output), config.H * config.V, config.D);

    /// <inheritdoc/>
    public override bool ReadsPrefix => true;

    /// <inheritdoc/>
    public override LayerState NewState(long B) => config.NewState(B);

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, Tensor> AsPublished(LayerState state, long position) => config.AsPublished(state);

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var k = Heads(key.call(x), config.K);

        // As published, the mask meets the keys before the feature map, and φ(0) = (1, 0, ..) keeps a weight of one.
        var zeroed = PublishedMask(pass, x.size(1));
        if (zeroed is not null) k = k * zeroed;

        EncodedPrefix? encoded = null;
        if (pass.PrefixLength > 0)
        {
            var prefix = x.narrow(1, 0, pass.PrefixLength);
            var prefixK = Heads(prefixKey.call(prefix), config.K);
            if (zeroed is not null) prefixK = prefixK * zeroed.narrow(1, 0, pass.PrefixLength);
            encoded = new(prefixK, Heads(prefixValue.call(prefix), config.V), pass.MaskUnlessPublished?.narrow(1, 0, pass.PrefixLength));
        }

        var (q, v) = (Heads(query.call(x), config.K), Heads(value.call(x), config.V));
        Tensor o;
        if (pass.IsWhole) o = Ops.TaylorAttentionOfWhole(q, k, v, config.Scale, config.Epsilon, encoded);
        else
            (o, pass.State["S"], pass.State["z"]) = Ops.TaylorAttention(
                q, k, v, pass.State["S"], pass.State["z"], config.Scale, config.Epsilon, pass.MaskUnlessPublished, encoded);
        return output.call(o.flatten(2)).MoveToOuterDisposeScope();
    }

    // The authors apply a mask only to a piece of several tokens that lies within the prefix.
    private Tensor? PublishedMask(Pass pass, long T) =>
        masks && pass.Padding is { Rule: PaddingRule.AsPublished, Mask: { } mask } && T > 1 && T <= pass.PrefixLength
            ? mask.unsqueeze(-1).unsqueeze(-1)   // [B, T, 1, 1]
            : null;

    private Tensor Heads(Tensor x, long width) => x.unflatten(2, [config.H, width]);
}
