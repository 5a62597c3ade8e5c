using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>What ends a continuation, and how its tokens are chosen.</summary>
public sealed record Continuation
{
    /// <summary>Most tokens to write.</summary>
    public int MaxTokens { get; init; } = 48;

    /// <summary>The text ends before the first of these; none is part of it.</summary>
    public IReadOnlyList<string> Stops { get; init; } = [];

    /// <summary>How tokens are chosen.</summary>
    public Sampling Sampling { get; init; } = Sampling.Greedy;
}

/// <summary>One token of a continuation, and the text that became certain with it; often empty, never half a character.</summary>
/// <param name="Id">The token's id.</param>
/// <param name="Text">What may be shown now.</param>
public readonly record struct Written(int Id, string Text);

/// <summary>Takes text in through a tokenizer and a model, and writes on from what was read.</summary>
/// <remarks>Owns neither. Tensors are made and freed within a call, so the thread may change between tokens.</remarks>
public sealed class Generator(ILanguageModel model, Tokenizer tokenizer)
{
    /// <summary>Tokens read at once: the activations of so many are held in memory, however long the text is.</summary>
    public const int Piece = 2048;

    /// <summary>A state that has read nothing; the model's prefix begins with what is read first.</summary>
    /// <param name="prompt">The tokens that will be read first.</param>
    /// <param name="padding">
    /// How a text shorter than the model's prefix is read. Exact reads it as it is. As published, JRT-RNN's text is brought
    /// to the length of the prefix by spaces before it, which the authors' numbers need (arXiv 2407.05483).
    /// </param>
    /// <returns>The state, and the tokens to read into it.</returns>
    public (RecurrentState State, IReadOnlyList<int> Tokens) Begin(IReadOnlyList<int> prompt, PaddingRule padding = PaddingRule.Exact)
    {
        int missing = (int)Math.Max(0, model.EncoderLength - prompt.Count);
        if (padding == PaddingRule.Exact || missing == 0) return (model.NewState(), prompt);
        int space = tokenizer.Encode(" ")[0];
        return (model.NewState(1, new([missing], padding)), [.. Enumerable.Repeat(space, missing), .. prompt]);
    }

    /// <summary>Reads tokens into a state, piece by piece. At the start of a text the model's prefix is read in both directions.</summary>
    /// <param name="state">What was read so far; advanced.</param>
    /// <param name="tokens">What to read, at least one token.</param>
    /// <param name="progress">Told how many of these tokens were read.</param>
    /// <param name="cancel">Asked between pieces; the state then stands where the last whole piece ended.</param>
    public void Read(RecurrentState state, IReadOnlyList<int> tokens, IProgress<int>? progress = null, CancellationToken cancel = default)
    {
        if (tokens.Count == 0) throw new ArgumentException("There is nothing to read: the text has no tokens.");
        // The prefix is read as a whole: each of its tokens meets all the others.
        int prefix = state.Position == 0 ? (int)Math.Min(model.EncoderLength, tokens.Count) : 0;
        for (int at = 0; at < tokens.Count;)
        {
            cancel.ThrowIfCancellationRequested();
            int n = Math.Min(Math.Max(Piece, at == 0 ? prefix : 0), tokens.Count - at);
            using var ids = tensor(Ids(tokens, at, n));
            using var piece = ids.unsqueeze(0);   // [1, n]
            model.Prefill(piece, state, at == 0 ? prefix : 0).Dispose();
            at += n;
            progress?.Report(at);
        }
    }

    /// <summary>Writes on from what a state of one text has read, token by token, reading each back into the state.</summary>
    /// <param name="state">What was read, at least one token; advanced. The last token that is given out is not read.</param>
    /// <param name="continuation">When to end and how to choose.</param>
    /// <param name="seen">Tokens for the repetition penalty to count as having occurred.</param>
    /// <param name="cancel">Asked between tokens.</param>
    public IEnumerable<Written> Continue(
        RecurrentState state, Continuation continuation, IEnumerable<int>? seen = null, CancellationToken cancel = default)
    {
        if (state.BatchSize != 1) throw new ArgumentException($"The state holds {state.BatchSize} texts; one is continued at a time.");
        if (state.Logits is null) throw new ArgumentException("Nothing was read yet; there is nothing to continue.");
        return Write(state, continuation, seen ?? [], cancel);
    }

    private IEnumerable<Written> Write(RecurrentState state, Continuation continuation, IEnumerable<int> seen, CancellationToken cancel)
    {
        var sampler = new Sampler(continuation.Sampling);
        sampler.See(seen);
        var decoder = tokenizer.NewStreamingDecoder();
        var text = new StopText(continuation.Stops);
        int id = 0;
        for (int n = 0; n < continuation.MaxTokens; n++)
        {
            cancel.ThrowIfCancellationRequested();
            if (n > 0) Step(state, id);
            id = Choose(state, sampler);
            bool last = n + 1 == continuation.MaxTokens || id == tokenizer.EndOfText;
            string piece = id == tokenizer.EndOfText ? "" : decoder.Add(id);
            yield return new(id, text.Add(last ? piece + decoder.Finish() : piece, last));
            if (last || text.Ended) yield break;
        }
    }

    private void Step(RecurrentState state, int token)
    {
        using var ids = tensor(new long[] { token });
        model.Step(ids, state).Dispose();
    }

    // Rows of the output beyond the vocabulary fill it up to a round number and stand for no text.
    private int Choose(RecurrentState state, Sampler sampler)
    {
        using var first = state.Logits![0];
        using var here = first.cpu();
        using var row = here.contiguous();
        var scores = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(row.bytes);
        return sampler.Next(scores[..Math.Min(scores.Length, tokenizer.VocabularySize)]);
    }

    private static long[] Ids(IReadOnlyList<int> tokens, int at, int n)
    {
        var ids = new long[n];
        for (int i = 0; i < n; i++) ids[i] = tokens[at + i];
        return ids;
    }

    /// <summary>Holds back what may turn out to be the beginning of a stop string.</summary>
    private sealed class StopText(IReadOnlyList<string> stops)
    {
        private string held = "";

        public bool Ended { get; private set; }

        public string Add(string piece, bool last)
        {
            held += piece;
            int end = -1;
            foreach (string stop in stops)
                if (stop.Length > 0 && held.IndexOf(stop, StringComparison.Ordinal) is >= 0 and var at && (end < 0 || at < end)) end = at;
            Ended = end >= 0;
            int keep = Ended || last ? 0 : stops.Select(Overlap).DefaultIfEmpty().Max();
            string given = held[..(Ended ? end : held.Length - keep)];
            held = held[(held.Length - keep)..];
            return given;
        }

        // How many characters at the end of what is held begin the stop string.
        private int Overlap(string stop)
        {
            for (int n = Math.Min(stop.Length - 1, held.Length); n > 0; n--)
                if (held.EndsWith(stop[..n], StringComparison.Ordinal)) return n;
            return 0;
        }
    }
}
