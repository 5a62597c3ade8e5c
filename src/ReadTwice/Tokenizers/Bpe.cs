using System.Runtime.InteropServices;

namespace ReadTwice.Tokenizers;

/// <summary>Byte-pair encoding: joins the neighbours of lowest rank, the leftmost first, until none may be joined.</summary>
/// <remarks>
/// An own one, since that of Microsoft.ML.Tokenizers takes quadratic time in the length of a word, and a SentencePiece text
/// is one word. It serves bytes and characters alike: what a symbol is, the vocabulary says.
/// </remarks>
internal sealed class Bpe : PieceModel
{
    // Where looking at all pairs for each join still beats keeping them in a queue.
    private const int ShortWord = 48;

    private readonly Vocabulary vocabulary;
    private readonly bool wholeWords;
    private readonly Dictionary<long, (int Rank, int Id)> merges;

    /// <summary>Merges are the ids of two symbols, how soon they are joined, and into which.</summary>
    /// <remarks>With whole words, a word that is a token stays one even if no merges lead to it.</remarks>
    public Bpe(
        Vocabulary vocabulary, IReadOnlyCollection<(int Left, int Right, int Rank, int Id)> merges, bool wholeWords = false)
    {
        this.vocabulary = vocabulary;
        this.wholeWords = wholeWords;
        this.merges = new(merges.Count);
        foreach (var (left, right, rank, id) in merges) this.merges[Pair(left, right)] = (rank, id);
    }

    public override void Encode(ReadOnlySpan<char> piece, List<int> ids)
    {
        if (wholeWords && vocabulary.TryGetId(piece, out int whole))
        {
            ids.Add(whole);
            return;
        }
        int start = ids.Count;
        vocabulary.AppendCharacters(piece, ids);
        var symbols = CollectionsMarshal.AsSpan(ids)[start..];
        int kept = symbols.Length <= ShortWord ? JoinShort(symbols) : JoinLong(symbols);
        CollectionsMarshal.SetCount(ids, start + kept);
    }

    /// <summary>Joins in place by looking at every pair each time; gives how many symbols are left.</summary>
    internal int JoinShort(Span<int> symbols)
    {
        int count = symbols.Length;
        Span<(int Rank, int Id)> joins = stackalloc (int, int)[count];
        for (int i = 0; i + 1 < count; i++) joins[i] = Join(symbols[i], symbols[i + 1]);
        while (count > 1)
        {
            int best = 0;
            for (int i = 1; i + 1 < count; i++)
                if (joins[i].Rank < joins[best].Rank) best = i;
            if (joins[best].Rank == int.MaxValue) break;

            symbols[best] = joins[best].Id;
            symbols[(best + 2)..count].CopyTo(symbols[(best + 1)..]);
            joins[(best + 1)..count].CopyTo(joins[best..]);
            count--;
            if (best > 0) joins[best - 1] = Join(symbols[best - 1], symbols[best]);
            if (best + 1 < count) joins[best] = Join(symbols[best], symbols[best + 1]);
        }
        return count;
    }

    /// <summary>Joins in place in O(n log n), by a queue of pairs over a linked list; gives how many symbols are left.</summary>
    internal int JoinLong(Span<int> word)
    {
        int[] symbols = word.ToArray();
        int[] next = new int[symbols.Length];
        int[] previous = new int[symbols.Length];
        var queue = new PriorityQueue<long, long>(symbols.Length);
        for (int i = 0; i < symbols.Length; i++) (previous[i], next[i]) = (i - 1, i + 1);
        for (int i = 0; i < symbols.Length; i++) Propose(i);

        while (queue.TryDequeue(out long pair, out long place))
        {
            int left = (int)(place & int.MaxValue);
            int right = next[left];
            // One of the two may have been joined to another neighbour since.
            if (symbols[left] < 0 || right == symbols.Length || Pair(symbols[left], symbols[right]) != pair) continue;

            symbols[left] = merges[pair].Id;
            symbols[right] = -1;
            next[left] = next[right];
            if (next[left] < symbols.Length) previous[next[left]] = left;
            Propose(left);
            if (previous[left] >= 0) Propose(previous[left]);
        }

        int kept = 0;
        for (int i = 0; i < symbols.Length; i = next[i]) word[kept++] = symbols[i];
        return kept;

        void Propose(int left)
        {
            if (next[left] == symbols.Length) return;
            long pair = Pair(symbols[left], symbols[next[left]]);
            if (merges.TryGetValue(pair, out var join)) queue.Enqueue(pair, ((long)join.Rank << 32) | (uint)left);
        }
    }

    private (int Rank, int Id) Join(int left, int right) =>
        merges.TryGetValue(Pair(left, right), out var join) ? join : (int.MaxValue, -1);

    // Not left << 32 | right: the hash of a long is the exclusive or of its halves, and many pairs would share one.
    private static long Pair(int left, int right) => left * (Vocabulary.MaxSize + 15L) + right;
}
