using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>Softmax attention of each token over itself and the W tokens before it, of which rings keep the newest.</summary>
    /// <param name="q">Queries, [B, T, H·E].</param>
    /// <param name="k">Keys, [B, T, KeyHeads·E].</param>
    /// <param name="v">Values, [B, T, KeyHeads·E].</param>
    /// <param name="keys">Turned keys, [B, KeyHeads, W, E]: that of position p in slot p mod W.</param>
    /// <param name="values">Values in the same slots.</param>
    /// <param name="scale">Factor of the scores.</param>
    /// <param name="position">Position of the first token.</param>
    /// <param name="turns">How queries and keys are turned; null for not at all.</param>
    /// <param name="starts">Where each row's text begins, [B]; keys before it are not seen. Null for none.</param>
    /// <returns>o [B, T, H·E], and the rings after the piece: where no gradient is asked for the same ones, advanced in place.</returns>
    public static (Tensor O, Tensor Keys, Tensor Values) SlidingWindowAttention(
        Tensor q, Tensor k, Tensor v, Tensor keys, Tensor values, double scale, long position, Turns? turns = null, Tensor? starts = null)
    {
        if (!Spans.Fit(q, k, v, keys, values) || Spans.Learn(q, k, v, keys, values))
            return WindowByOperators(q, k, v, keys, values, scale, position, turns, starts);
        int B = (int)q.size(0), T = (int)q.size(1), E = (int)keys.size(3);
        var sizes = new Kernels.WindowSizes(B, T, (int)q.size(2) / E, (int)keys.size(1), E, (int)keys.size(2));
        (q, k, v) = (Spans.Rows(q, out int qRow), Spans.Rows(k, out int kRow), Spans.Rows(v, out int vRow));
        (keys, values) = (Spans.Contiguous(keys), Spans.Contiguous(values));
        var o = empty(B, T, q.size(2));
        Kernels.SlidingWindowAttention.Forward(
            sizes, (float)scale, position, starts is null ? [] : starts.data<long>().ToArray(), Spans.In(turns?.Cos), Spans.In(turns?.Sin),
            Spans.InRows(q, qRow), qRow, Spans.InRows(k, kRow), kRow, Spans.InRows(v, vRow), vRow, Spans.Ref(keys), Spans.Ref(values), Spans.Ref(o),
            Libtorch.Threads);
        GC.KeepAlive((q, k, v, turns));
        return (o, keys, values);
    }

    internal static (Tensor O, Tensor Keys, Tensor Values) WindowByOperators(
        Tensor q, Tensor k, Tensor v, Tensor keys, Tensor values, double scale, long position, Turns? turns, Tensor? starts)
    {
        using var scope = NewDisposeScope();
        long T = q.size(1), W = keys.size(2), past = Math.Min(W, position);
        var (queries, newest) = (Heads(q), Heads(k));
        if (turns is not null) (queries, newest) = (turns.Apply(queries), turns.Apply(newest));
        var (all, allValues) = (cat([InOrder(keys, position), newest], 2), cat([InOrder(values, position), Heads(v)], 2));

        // A block of queries sees its own keys and the W before them, so no block meets more than 2 W keys.
        long block = Math.Max(W, 64);
        var pieces = new List<Tensor>();
        for (long i = 0; i < T; i += block)
        {
            long n = Math.Min(block, T - i), from = Math.Max(0, past + i - W);
            pieces.Add(CausalAttention(
                queries.narrow(2, i, n), all.narrow(2, from, past + i + n - from), allValues.narrow(2, from, past + i + n - from),
                scale, position + i, starts, W));
        }
        var o = cat(pieces, 2).transpose(1, 2).flatten(2);
        return (o.MoveToOuterDisposeScope(), Ring(all, W, position + T).MoveToOuterDisposeScope(), Ring(allValues, W, position + T).MoveToOuterDisposeScope());

        Tensor Heads(Tensor x) => x.unflatten(2, [-1, keys.size(3)]).transpose(1, 2);          // [B, heads, T, E]
    }

    /// <summary>What rings [B, KeyHeads, W, E] hold of the tokens before a position, oldest first: [B, KeyHeads, min(W, position), E].</summary>
    public static Tensor InOrder(Tensor ring, long position)
    {
        using var scope = NewDisposeScope();
        long W = ring.size(2);
        return (position < W ? ring.narrow(2, 0, position) : ring.roll(-Slot(position, W), 2)).alias().MoveToOuterDisposeScope();
    }

    // The newest W of what is at hand, laid so that position p is in slot p mod W.
    private static Tensor Ring(Tensor ordered, long W, long position)
    {
        long n = Math.Min(W, position);
        var newest = ordered.narrow(2, ordered.size(2) - n, n);
        return n < W ? nn.functional.pad(newest, [0, 0, 0, W - n]) : newest.roll(Slot(position, W), 2);
    }

    private static long Slot(long position, long W) => W == 0 ? 0 : position % W;   // an empty ring has none
}
