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
        var queries = rotary.Apply(Heads(q, config.H), pass.Position);
        var keys = pass.State.Append("key", rotary.Apply(Heads(k, config.KeyHeads), pass.Position), 2);
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
        long T = q.size(1), past = Math.Min(W, pass.Position);
        var queries = rotary.Apply(Heads(q, config.H), pass.Position);
        var keys = cat([Past(pass.State["key"], pass.Position), rotary.Apply(Heads(k, config.KeyHeads), pass.Position)], 2);
        var values = cat([Past(pass.State["value"], pass.Position), Heads(v, config.KeyHeads)], 2);
        var starts = config.Starts(pass);

        // A block of queries sees its own keys and the W before them, so no block meets more than 2 W keys.
        long block = Math.Max(W, 64);
        var pieces = new List<Tensor>();
        for (long i = 0; i < T; i += block)
        {
            long n = Math.Min(block, T - i), from = Math.Max(0, past + i - W);
            pieces.Add(Ops.CausalAttention(
                queries.narrow(2, i, n), keys.narrow(2, from, past + i + n - from), values.narrow(2, from, past + i + n - from),
                config.Scale, pass.Position + i, starts, W));
        }

        pass.State["key"] = Ring(keys, pass.Position + T);
        pass.State["value"] = Ring(values, pass.Position + T);
        return cat(pieces, 2).transpose(1, 2).flatten(2).MoveToOuterDisposeScope();
    }

    /// <summary>The keys or values of the last tokens, oldest first: [B, KeyHeads, min(W, position), E].</summary>
    public Tensor Past(Tensor ring, long position)
    {
        using var scope = NewDisposeScope();
        return (position < W ? ring.narrow(2, 0, position) : ring.roll(-Slot(position), 2)).alias().MoveToOuterDisposeScope();
    }

    // The newest W of what is at hand, laid so that position p is in slot p mod W.
    private Tensor Ring(Tensor ordered, long position)
    {
        long n = Math.Min(W, position);
        var newest = ordered.narrow(2, ordered.size(2) - n, n);
        return n < W
            ? nn.functional.pad(newest, [0, 0, 0, W - n])
            : newest.roll(Slot(position), 2);
    }

    private long Slot(long position) => W == 0 ? 0 : position % W;   // an empty ring has none

    private Tensor Heads(Tensor x, long heads) => x.unflatten(2, [heads, config.E]).transpose(1, 2);   // [B, heads, T, E]
}
