namespace ReadTwice.Kernels;

/// <summary>The gradients of what <see cref="TaylorForward{L}"/> reads.</summary>
/// <remarks>
/// One pass forwards computes the states again, which is all that is kept of them, and gives the queries what they read from
/// it; one backwards carries the gradient of the state, and gives keys and values theirs.
/// </remarks>
internal static unsafe class TaylorBackward<L> where L : struct, ILanes<L>
{
    private const int C = TaylorChunk<L>.C;

    /// <summary>The gradients of everything read; that of the states at the end becomes that of the states at the start.</summary>
    public static void Read(TaylorOperands operands, TaylorCotangents cotangents, int threads)
    {
        var sizes = operands.Sizes;
        int pieces = HeadWork.Pieces(sizes, sizes.T, threads, C);
        if (pieces == 1)
        {
            HeadWork.Run(sizes, sizes.T, 1, C, threads, group => Read(group, operands, cotangents, operands.States, cotangents.States));
            return;
        }
        using var startScratch = TaylorForward<L>.Starts(operands.States, operands.Keys, pieces, threads, out var starts);
        using var endScratch = Ends(operands, cotangents, pieces, threads, out var ends);
        HeadWork.Run(sizes, sizes.T, pieces, C, threads, group => Read(group, operands, cotangents, starts, ends));
        ends.CopyTo(0, cotangents.States, 0);
    }

    /// <summary>The gradients of keys and values that were added to states, given that of the states after them.</summary>
    public static void Add(TaylorStates gradient, TaylorKeys keys, HeadRows dk, HeadRows dv, int threads)
    {
        var sizes = gradient.Sizes;
        int pieces = HeadWork.Pieces(sizes, keys.T, threads, C);
        HeadWork.Run(sizes, keys.T, pieces, C, threads, group =>
        {
            using var scratch = Workspace(sizes, group, out var chunk, out var states);
            states.Load(gradient, 0);
            foreach (var (step, _) in HeadWork.Chunks(group, C))
            {
                chunk.Chunk.LoadKeys(keys, step);
                chunk.Keys(states.SOf(step.Head), states.ZOf(step.Head), empty: false, met: false, dk, dv, step);
            }
        });
    }

    /// <summary>The gradients of the states at the start of each piece, and last of that in which the sequence ends.</summary>
    private static Scratch Ends(
        TaylorOperands operands, TaylorCotangents cotangents, int pieces, int threads, out TaylorStates ends)
    {
        var sizes = operands.Sizes;
        var scratch = Scratch.For(scratch => TaylorStates.Take(sizes, pieces + 1, scratch), out var sums);
        HeadRows[] coming = [operands.Q, operands.O, cotangents.DO];
        HeadWork.Run(sizes, sizes.T, pieces, C, threads, group =>
        {
            using var scratch = Workspace(sizes, group, out var chunk, out var states);
            states.Clear();
            foreach (var (step, next) in HeadWork.Chunks(group, C))
            {
                chunk.Chunk.LoadQueries(operands.Q, step, operands.Scale);
                chunk.LoadOutputs(cotangents.DO, operands, step);
                chunk.Write(states.SOf(step.Head), states.ZOf(step.Head), coming, next);
            }
            states.Store(sums, group.Piece);
        });
        cotangents.States.CopyTo(0, sums, pieces);
        for (int piece = pieces; piece > 0; piece--) sums.Add(piece, piece - 1);
        ends = sums;
        return scratch;
    }

    private static void Read(
        HeadGroup group, TaylorOperands operands, TaylorCotangents cotangents, TaylorStates starts, TaylorStates ends)
    {
        using var scratch = Workspace(operands.Sizes, group, out var chunk, out var states);
        states.Load(starts, group.Piece);
        HeadRows[] coming = [operands.Q, operands.Keys.K, operands.Keys.V, operands.O, cotangents.DO];
        foreach (var (step, next) in HeadWork.Chunks(group, C))
        {
            float* S = states.SOf(step.Head), z = states.ZOf(step.Head);
            bool empty = step.Token == group.From && states.IsEmpty(step.Head);
            chunk.Chunk.LoadQueries(operands.Q, step, operands.Scale);
            chunk.Chunk.LoadKeys(operands.Keys, step);
            chunk.LoadOutputs(cotangents.DO, operands, step);
            chunk.Queries(S, z, empty, operands.Scale, cotangents.DQ, step);
            chunk.Chunk.Write(S, z, coming, next);
        }

        bool single = ends.Pieces == 1;
        states.Load(ends, single ? 0 : group.Piece + 1);
        coming = [.. coming, cotangents.DQ];
        foreach (var (step, next) in HeadWork.Chunks(group, C, backwards: true))
        {
            float* R = states.SOf(step.Head), r = states.ZOf(step.Head);
            bool empty = step.Token + step.Count == group.To && states.IsEmpty(step.Head);
            chunk.Chunk.LoadQueries(operands.Q, step, operands.Scale);
            chunk.Chunk.LoadKeys(operands.Keys, step);
            chunk.LoadOutputs(cotangents.DO, operands, step);
            chunk.Meet(operands.Q, operands.Scale, cotangents.DQ, step);
            chunk.Keys(R, r, empty, met: true, cotangents.DK, cotangents.DV, step);
            chunk.Write(R, r, coming, next);
        }
        if (single) states.Store(ends, 0);
    }

    private static Scratch Workspace(
        AttentionSizes sizes, HeadGroup group, out TaylorChunkBackward<L> chunk, out HeadStates states)
    {
        var scratch = Scratch.For(
            scratch =>
            {
                var chunk = new TaylorChunkBackward<L>(sizes, scratch);
                return (chunk, new HeadStates(sizes, group, chunk.Chunk.F, chunk.Chunk.W, scratch));
            },
            out var laid);
        (chunk, states) = laid;
        chunk.Clear();
        return scratch;
    }
}
