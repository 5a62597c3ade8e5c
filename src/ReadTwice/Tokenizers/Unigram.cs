using System.Text;

namespace ReadTwice.Tokenizers;

/// <summary>Cuts a piece of text into the tokens whose scores have the largest sum (Viterbi).</summary>
/// <remarks>Sums are compared in double and kept in single precision, as in SentencePiece: ties then end alike.</remarks>
internal sealed class Unigram : PieceModel
{
    // How much worse than the worst token an unknown character is.
    private const float UnknownPenalty = 10;

    private readonly Vocabulary vocabulary;
    private readonly Dictionary<int, double> scores = [];
    private readonly Trie trie = new();
    private readonly float unknownScore;

    public Unigram(Vocabulary vocabulary, IReadOnlyList<SentencePieceFile.Piece> pieces)
    {
        this.vocabulary = vocabulary;
        var normal = pieces.Where(piece => piece.Kind == SentencePieceFile.Kind.Normal).Select(piece => piece.Score);
        float best = normal.Append(0).Max();   // scores are negative, as a rule; SentencePiece starts from zero too
        unknownScore = normal.DefaultIfEmpty(0).Min() - UnknownPenalty;
        for (int id = 0; id < pieces.Count; id++)
        {
            var (text, score, kind) = pieces[id];
            if (kind == SentencePieceFile.Kind.Normal) scores[id] = score;
            // One of the user's is nearly always taken.
            else if (kind == SentencePieceFile.Kind.UserDefined) scores[id] = Encoding.UTF8.GetByteCount(text) * best - 0.1;
            else continue;
            trie.Add(text, id);
        }
    }

    public override void Encode(ReadOnlySpan<char> piece, List<int> ids)
    {
        var best = new (float Score, int Start, int Id)[piece.Length + 1];
        for (int i = 1; i < best.Length; i++) best[i].Start = -1;
        for (int start = 0, length; start < piece.Length; start += length)
        {
            length = char.IsHighSurrogate(piece[start]) ? 2 : 1;
            bool isKnown = false;
            int node = Trie.Root;
            for (int end = start + 1; end <= piece.Length && trie.Step(ref node, piece[end - 1]); end++)
            {
                int id = trie.Value(node);
                if (id < 0) continue;
                isKnown |= end - start == length;
                Offer(end, best[start].Score + scores[id], start, id);
            }
            if (!isKnown) Offer(start + length, best[start].Score + unknownScore, start, -1);
        }

        var path = new Stack<int>();   // ends of tokens, the first on top
        for (int end = piece.Length; end > 0; end = best[end].Start) path.Push(end);
        bool afterUnknown = false;
        foreach (int end in path)
        {
            var (_, start, id) = best[end];
            if (id >= 0) ids.Add(id);
            afterUnknown = id < 0 && vocabulary.AppendUnknown(piece[start..end], afterUnknown, ids);
        }

        void Offer(int end, double score, int start, int id)
        {
            if (best[end].Start < 0 || score > best[end].Score) best[end] = ((float)score, start, id);
        }
    }
}
