using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>Sizes of a softmax attention layer.</summary>
/// <param name="H">Query heads.</param>
/// <param name="KeyHeads">Key and value heads; H divides by it.</param>
/// <param name="E">Width of a head.</param>
/// <param name="Scale">Factor of the scores.</param>
public sealed record AttentionConfig(long H, long KeyHeads, long E, double Scale)
{
    /// <summary>Whether the authors' code leaves the keys of padding visible.</summary>
    public bool SeesPadding { get; init; }

    /// <summary>Where the rows' texts begin, [B], if keys before that are to be left out.</summary>
    public Tensor? Starts(Pass pass) =>
        pass.Padding is { } padding && !(SeesPadding && padding.Rule == PaddingRule.AsPublished) ? padding.Starts : null;

    /// <summary>Heads with the usual scale, 1 / √E.</summary>
    public static AttentionConfig Of(long H, long keyHeads, long E)
    {
        if (keyHeads < 1 || H % keyHeads != 0)
            throw new InvalidDataException($"config.json: {H} query heads do not divide by {keyHeads} key heads.");
        return new(H, keyHeads, E, Math.Pow(E, -0.5));
    }
}

/// <summary>Causal softmax attention over all that was read; its state, the rotated keys and the values, grows with the text.</summary>
/// <remarks>q [B, T, H·E], k and v [B, T, KeyHeads·E] -> [B, T, H·E].</remarks>
public sealed class SoftmaxAttention(AttentionConfig config, Rotary rotary)
{
    /// <summary>No keys and no values: [B, KeyHeads, 0, E].</summary>
    public LayerState NewState(long B) => new()
    {
        ["key"] = zeros(B, config.KeyHeads, 0, config.E),
        ["value"] = zeros(B, config.KeyHeads, 0, config.E),
    };

    /// <summary>Reads a piece.</summary>
    public Tensor Read(Tensor q, Tensor k, Tensor v, Pass pass)
    {
        using var scope = NewDisposeScope();
        var (queries, newest) = (Heads(q, config.H), Heads(k, config.KeyHeads));
        if (rotary.Turns(pass.Position, q.size(1), config.E) is { } turns) (queries, newest) = (turns.Apply(queries), turns.Apply(newest));
        var keys = pass.State.Append("key", newest, 2);
        var values = pass.State.Append("value", Heads(v, config.KeyHeads), 2);
        var starts = config.Starts(pass);
        var o = Ops.CausalAttention(queries, keys, values, config.Scale, pass.Position, starts);
        return o.transpose(1, 2).flatten(2).MoveToOuterDisposeScope();
    }

    private Tensor Heads(Tensor x, long heads) => x.unflatten(2, [heads, config.E]).transpose(1, 2);   // [B, heads, T, E]
}

/// <summary>Causal softmax attention over the W tokens before each token and itself, with a ring buffer of W keys and values.</summary>
/// <remarks>q [B, T, H·E], k and v [B, T, KeyHeads·E] -> [B, T, H·E]. The key of position p lies in slot p mod W of the ring.</remarks>
public sealed class SlidingWindow(AttentionConfig config, Rotary rotary, long W)
{
    /// <summary>An empty ring: [B, KeyHeads, W, E].</summary>
    public LayerState NewState(long B) => new()
    {
        ["key"] = zeros(B, config.KeyHeads, W, config.E),
        ["value"] = zeros(B, config.KeyHeads, W, config.E),
    };

    /// <summary>Reads a piece.</summary>
    public Tensor Read(Tensor q, Tensor k, Tensor v, Pass pass)
    {
        using var scope = NewDisposeScope();
        (var o, pass.State["key"], pass.State["value"]) = Ops.SlidingWindowAttention(
            q, k, v, pass.State["key"], pass.State["value"], config.Scale, pass.Position, rotary.Turns(pass.Position, q.size(1), config.E), config.Starts(pass));
        return o.MoveToOuterDisposeScope();
    }
}
