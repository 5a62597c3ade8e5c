using System.Text;
using ReadTwice.Evaluation;

namespace ReadTwice.Training;

/// <summary>A document with all that is known of it.</summary>
/// <param name="Text">The text.</param>
/// <param name="Facts">The examples that ask of it; each one's document is the whole text.</param>
public sealed record LabelledDocument(string Text, IReadOnlyList<RecallExample> Facts)
{
    /// <summary>Joins the examples of a task by their documents.</summary>
    public static IReadOnlyList<LabelledDocument> Join(IEnumerable<RecallExample> examples) =>
        [.. examples.GroupBy(example => example.Id, StringComparer.Ordinal).Select(group => new LabelledDocument(group.First().Document, [.. group]))];
}

/// <summary>The size of a sequence to make.</summary>
/// <param name="PromptLength">Tokens up to the first answer.</param>
/// <param name="Length">Tokens in all.</param>
/// <param name="LongestPrefix">How many of the prompt's first tokens are the prefix at most; those after it are predicted.</param>
public readonly record struct SequenceShape(int PromptLength, int Length, int LongestPrefix)
{
    /// <summary>Tokens of the prefix.</summary>
    public int PrefixLength => Math.Min(PromptLength, LongestPrefix);
}

/// <summary>
/// Makes training sequences out of labelled documents: the prompt of a recall task as the prefix, its answer, then more
/// questions of the same document with their answers, then pieces of the document to be continued word for word.
/// </summary>
/// <remarks>
/// One reading of a document so pays for many answers. What is to be continued begins with a few of its tokens, so all that
/// is needed is to find where these stood: recall in its barest form, and what a small model must learn first.
/// </remarks>
public sealed class RecallSequences
{
    private const int Cue = 3, ShortestPiece = 10, LongestPiece = 32;

    private readonly RecallTask task;
    private readonly Tokenizer tokenizer;
    private readonly IReadOnlyList<LabelledDocument> documents;
    private readonly int[][] ids;
    private readonly int[][] ends;
    private readonly int newLine;

    /// <summary>Encodes the documents once, for any number of sequences.</summary>
    public RecallSequences(RecallTask task, Tokenizer tokenizer, IReadOnlyList<LabelledDocument> documents)
    {
        (this.task, this.tokenizer, this.documents) = (task, tokenizer, documents);
        ids = [.. documents.Select(document => tokenizer.Encode(document.Text).ToArray())];
        ends = [.. ids.Select(Ends)];
        newLine = tokenizer.Encode("\n")[0];
    }

    /// <summary>Sequences that ask for facts; documents that are too short for the shape are passed over.</summary>
    /// <param name="shape">Their size.</param>
    /// <param name="reading">How the document is laid in the prefix.</param>
    /// <param name="count">How many.</param>
    /// <param name="masks">The part of the sequences whose prefix may be masked, but for what is asked.</param>
    /// <param name="random">Chooses documents, questions, windows and pieces.</param>
    public IReadOnlyList<TokenSequence> Facts(SequenceShape shape, Reading reading, int count, double masks, Random random)
    {
        var made = new List<TokenSequence>(count);
        for (int tries = 0; made.Count < count && tries < 20 * count; tries++)
            if (Fact(shape, reading, masks, random) is { } sequence) made.Add(sequence);
        return made.Count == count
            ? made : throw new InvalidDataException($"Of {count} sequences of {shape.Length} tokens only {made.Count} could be made; longer documents or a shorter shape are needed.");
    }

    /// <summary>Sequences that ask for nothing but pieces of a text, word for word.</summary>
    /// <param name="shape">Their size.</param>
    /// <param name="count">How many.</param>
    /// <param name="random">Chooses documents, windows and pieces.</param>
    public IReadOnlyList<TokenSequence> Copies(SequenceShape shape, int count, Random random)
    {
        int[][] enough = [.. ids.Where(document => document.Length >= shape.PromptLength)];
        if (enough.Length == 0) throw new InvalidDataException($"No document has {shape.PromptLength} tokens; longer documents or a shorter shape are needed.");
        return [.. Enumerable.Range(0, count).Select(_ =>
        {
            int[] document = enough[random.Next(enough.Length)];
            int start = random.Next(document.Length - shape.PromptLength + 1);
            return Pieces(document.AsSpan(start, shape.PromptLength), shape, random);
        })];
    }

    /// <summary>The same of tokens drawn at random, which nothing but recall can foretell.</summary>
    /// <param name="shape">Their size.</param>
    /// <param name="count">How many.</param>
    /// <param name="random">Chooses tokens and pieces.</param>
    public IReadOnlyList<TokenSequence> Noise(SequenceShape shape, int count, Random random) => [.. Enumerable.Range(0, count).Select(_ =>
    {
        int[] tokens = [.. Enumerable.Range(0, shape.PromptLength).Select(_ => random.Next(tokenizer.VocabularySize))];
        return Pieces(tokens, shape, random);
    })];

    private TokenSequence Pieces(ReadOnlySpan<int> tokens, SequenceShape shape, Random random)
    {
        var draft = new Draft(tokens, shape);
        AddPieces(draft, random);
        return draft.Finish(masked: false);
    }

    private TokenSequence? Fact(SequenceShape shape, Reading reading, double masks, Random random)
    {
        int chosen = random.Next(documents.Count);
        var (text, facts) = documents[chosen];
        if (facts.Count == 0) return null;
        var first = facts[random.Next(facts.Count)];
        string window = Window(chosen, first, shape.PromptLength / reading.Times, random);
        if (!window.Contains(first.Answers[0], StringComparison.Ordinal)) return null;

        string prompt = task.Prompt(first with { Document = window }, reading);
        var tokens = tokenizer.Encode(prompt);
        // What is too long loses tokens at its left, as a prompt does in the evaluation; the answer must still be in what is left.
        int extra = tokens.Count - shape.PromptLength;
        if (extra < 0) return null;
        var draft = new Draft([.. tokens.Skip(extra)], shape);
        string read = tokenizer.Decode(draft.Ids);
        if (!read.Contains(first.Answers[0], StringComparison.Ordinal)) return null;

        AddAnswer(draft, first);
        foreach (var fact in Shuffled(facts, random))
            if (fact != first && read.Contains(fact.Answers[0], StringComparison.Ordinal))
            {
                draft.Add(tokenizer.Encode(Question(fact)), TokenRole.Text);
                AddAnswer(draft, fact);
            }
        AddPieces(draft, random);
        return draft.Finish(masked: random.NextDouble() < masks);
    }

    // As the evaluation cuts it, around the first mention of key or answer; half of the time it lies anywhere around it.
    private string Window(int document, RecallExample fact, int budget, Random random)
    {
        var (text, all, end) = (documents[document].Text, ids[document], ends[document]);
        int at = task.Landmarks(fact).Select(mark => text.IndexOf(mark, StringComparison.OrdinalIgnoreCase)).Where(found => found >= 0).DefaultIfEmpty(0).Min();
        if (random.Next(2) == 0) at = Math.Max(0, text.IndexOf(fact.Answers[0], StringComparison.Ordinal));
        int token = Array.BinarySearch(end, Encoding.UTF8.GetByteCount(text.AsSpan(0, at)));
        if (token < 0) token = ~token;
        int before = random.Next(2) == 0 ? budget / 2 : random.Next(budget);
        int start = Math.Max(0, Math.Min(token - before, all.Length - budget));
        return tokenizer.Decode(all.AsSpan(start, Math.Min(budget, all.Length - start)).ToArray());
    }

    private void AddAnswer(Draft draft, RecallExample fact)
    {
        var answer = tokenizer.Encode($" {fact.Answers[0]}\n");
        draft.Keep([.. answer.SkipLast(1)]);
        draft.Add(answer, TokenRole.Answer);
    }

    private void AddPieces(Draft draft, Random random)
    {
        while (!draft.IsFull)
        {
            int length = Math.Min(random.Next(ShortestPiece, LongestPiece + 1), draft.PromptLength);
            int start = random.Next(draft.PromptLength - length + 1);
            int[] piece = [.. draft.Ids.GetRange(start, length)];
            draft.Keep(start, length);
            draft.Add(piece[..Cue], TokenRole.Padding);
            draft.Add(piece[Cue..], TokenRole.Answer);
            draft.Add([newLine], TokenRole.Text);
        }
    }

    private static string Question(RecallExample fact) => $"{char.ToUpperInvariant(fact.Question[0])}{fact.Question[1..]}:";

    private int[] Ends(int[] document)
    {
        int[] ends = new int[document.Length];
        for (int i = 0, end = 0; i < ends.Length; i++) ends[i] = end += tokenizer.Bytes(document[i]).Length;
        return ends;
    }

    private static RecallExample[] Shuffled(IReadOnlyList<RecallExample> facts, Random random)
    {
        RecallExample[] shuffled = [.. facts];
        random.Shuffle(shuffled);
        return shuffled;
    }

    /// <summary>A sequence under construction.</summary>
    private sealed class Draft(ReadOnlySpan<int> prompt, SequenceShape shape)
    {
        private readonly List<TokenRole> roles = [.. Enumerable.Repeat(TokenRole.Text, prompt.Length)];

        public int PromptLength { get; } = prompt.Length;

        public List<int> Ids { get; } = [.. prompt];

        public bool IsFull => Ids.Count >= shape.Length;

        public void Add(IReadOnlyList<int> tokens, TokenRole role)
        {
            Ids.AddRange(tokens);
            roles.AddRange(Enumerable.Repeat(role, tokens.Count));
        }

        /// <summary>Protects a stretch of the prompt from being masked.</summary>
        public void Keep(int start, int count)
        {
            for (int i = start; i < start + count; i++) roles[i] = TokenRole.Kept;
        }

        /// <summary>Protects every place of the prompt where these tokens stand.</summary>
        public void Keep(int[] tokens)
        {
            for (int i = 0; i + tokens.Length <= PromptLength; i++)
                if (Ids.Slice(i, tokens.Length).SequenceEqual(tokens)) Keep(i, tokens.Length);
        }

        public TokenSequence Finish(bool masked)
        {
            if (!masked)
                for (int i = 0; i < shape.PrefixLength; i++) roles[i] = TokenRole.Kept;
            return new([.. Ids.Take(shape.Length)], [.. roles.Take(shape.Length)], shape.PrefixLength);
        }
    }
}
