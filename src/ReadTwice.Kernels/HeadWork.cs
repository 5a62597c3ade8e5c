namespace ReadTwice.Kernels;

/// <summary>Some heads of one batch entry, and the tokens From to To that one thread reads for them.</summary>
internal readonly record struct HeadGroup(int B, int FirstHead, int Heads, int Piece, int From, int To);

/// <summary>A chunk of one head: Count tokens of a batch entry from Token on; none, where there is no such chunk.</summary>
internal readonly record struct ChunkStep(int B, int Head, int Token, int Count);

/// <summary>Which thread reads what, and in what order.</summary>
internal static class HeadWork
{
    private const int ChunksInBlock = 8, FewestChunksInPiece = 4;

    /// <summary>Into how many pieces T tokens are cut: one, unless there are fewer heads than threads.</summary>
    public static int Pieces(AttentionSizes sizes, int T, int threads, int chunk)
    {
        int heads = sizes.B * sizes.H, most = Math.Max(1, T / (chunk * FewestChunksInPiece));
        return Math.Clamp((threads + heads - 1) / heads, 1, most);
    }

    /// <summary>Calls read for every head and piece of T tokens, in groups, a part of them on each thread.</summary>
    public static void Run(AttentionSizes sizes, int T, int pieces, int chunk, int threads, Action<HeadGroup> read)
    {
        int H = sizes.H, all = sizes.B * pieces * H, parts = Math.Min(threads, all);
        Workers.Run(parts, part =>
        {
            int at = (int)((long)all * part / parts), end = (int)((long)all * (part + 1) / parts);
            while (at < end)
            {
                int row = at / H, piece = row % pieces, next = Math.Min(end, (row + 1) * H);
                read(new HeadGroup(row / pieces, at - row * H, next - at, piece, Start(piece), Start(piece + 1)));
                at = next;
            }
        });

        int Start(int piece) => piece == pieces ? T : (int)((long)T * piece / pieces) / chunk * chunk;
    }

    /// <summary>
    /// The chunks of a group, each with the one that follows it: some of a head, then of the next. So the rows of a token,
    /// neighbours in memory, are met soon after one another, and a state stays near while it is used.
    /// </summary>
    public static IEnumerable<(ChunkStep Step, ChunkStep Next)> Chunks(HeadGroup group, int chunk, bool backwards = false)
    {
        ChunkStep last = default;
        foreach (var step in Order(group, chunk, backwards))
        {
            if (last.Count > 0) yield return (last, step);
            last = step;
        }
        if (last.Count > 0) yield return (last, default);
    }

    private static IEnumerable<ChunkStep> Order(HeadGroup group, int chunk, bool backwards)
    {
        int block = chunk * ChunksInBlock, blocks = (group.To - group.From + block - 1) / block;
        for (int i = 0; i < blocks; i++)
        {
            int start = group.From + (backwards ? blocks - 1 - i : i) * block, end = Math.Min(group.To, start + block);
            int chunks = (end - start + chunk - 1) / chunk;
            for (int head = group.FirstHead; head < group.FirstHead + group.Heads; head++)
                for (int j = 0; j < chunks; j++)
                {
                    int token = start + (backwards ? chunks - 1 - j : j) * chunk;
                    yield return new ChunkStep(group.B, head, token, Math.Min(chunk, end - token));
                }
        }
    }
}
