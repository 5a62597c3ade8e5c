namespace ReadTwice.Kernels;

/// <summary>Reads chunk after chunk with every thread.</summary>
/// <remarks>
/// Where there are fewer heads than threads the sequence is cut into pieces: first each sums what its keys add to a state,
/// then each reads from the state that all before it sum to.
/// </remarks>
internal static unsafe class TaylorForward<L> where L : struct, ILanes<L>
{
    private const int C = TaylorChunk<L>.C;

    /// <summary>Adds keys to the states, and reads nothing.</summary>
    public static void Add(TaylorStates states, TaylorKeys keys, int threads)
    {
        int pieces = HeadWork.Pieces(states.Sizes, keys.T, threads, C);
        if (pieces == 1)
            HeadWork.Run(states.Sizes, keys.T, pieces, C, threads, group => Add(group, keys, states, from: 0, states, to: 0));
        else
        {
            using var scratch = Starts(states, keys, pieces, threads, out var starts);
            starts.CopyTo(pieces, states, 0);
        }
    }

    /// <summary>Reads the sequence and advances the states.</summary>
    public static void Read(TaylorOperands operands, int threads)
    {
        var (sizes, states) = (operands.Sizes, operands.States);
        int pieces = HeadWork.Pieces(sizes, sizes.T, threads, C);
        if (pieces == 1) HeadWork.Run(sizes, sizes.T, pieces, C, threads, group => Read(group, operands, states));
        else
        {
            using var scratch = Starts(states, operands.Keys, pieces, threads, out var starts);
            HeadWork.Run(sizes, sizes.T, pieces, C, threads, group => Read(group, operands, starts));
            starts.CopyTo(pieces, states, 0);
        }
    }

    /// <summary>The states from which the pieces start, and after the last the one in which it ends.</summary>
    public static Scratch Starts(TaylorStates states, TaylorKeys keys, int pieces, int threads, out TaylorStates starts)
    {
        var sizes = states.Sizes;
        var scratch = Scratch.For(scratch => TaylorStates.Take(sizes, pieces + 1, scratch), out var sums);
        HeadWork.Run(
            sizes, keys.T, pieces, C, threads, group => Add(group, keys, null, from: 0, sums, to: group.Piece + 1));
        states.CopyTo(0, sums, 0);
        for (int piece = 0; piece < pieces; piece++) sums.Add(piece, piece + 1);
        starts = sums;
        return scratch;
    }

    private static void Add(HeadGroup group, TaylorKeys keys, TaylorStates? start, int from, TaylorStates end, int to)
    {
        using var scratch = Workspace(end.Sizes, group, out var chunk, out var states);
        if (start is { } first) states.Load(first, from);
        else states.Clear();
        HeadRows[] coming = [keys.K, keys.V];
        foreach (var (step, next) in HeadWork.Chunks(group, C))
        {
            chunk.LoadKeys(keys, step);
            chunk.Write(states.SOf(step.Head), states.ZOf(step.Head), coming, next);
        }
        states.Store(end, to);
    }

    private static void Read(HeadGroup group, TaylorOperands operands, TaylorStates starts)
    {
        using var scratch = Workspace(operands.Sizes, group, out var chunk, out var states);
        states.Load(starts, group.Piece);
        HeadRows[] coming = [operands.Q, operands.Keys.K, operands.Keys.V];
        foreach (var (step, next) in HeadWork.Chunks(group, C))
        {
            float* S = states.SOf(step.Head), z = states.ZOf(step.Head);
            chunk.LoadQueries(operands.Q, step, operands.Scale);
            chunk.LoadKeys(operands.Keys, step);
            chunk.Read(S, z, empty: step.Token == group.From && states.IsEmpty(step.Head), operands.O, operands.Den, step);
            chunk.Write(S, z, coming, next);
        }
        if (starts.Pieces == 1) states.Store(operands.States, 0);
    }

    private static Scratch Workspace(AttentionSizes sizes, HeadGroup group, out TaylorChunk<L> chunk, out HeadStates states)
    {
        var scratch = Scratch.For(
            scratch =>
            {
                var chunk = new TaylorChunk<L>(sizes, scratch);
                return (chunk, new HeadStates(sizes, group, chunk.F, chunk.W, scratch));
            },
            out var laid);
        (chunk, states) = laid;
        chunk.Clear();
        return scratch;
    }
}
