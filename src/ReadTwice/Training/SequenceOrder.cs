namespace ReadTwice.Training;

/// <summary>Which sequences make up each batch: all of one length and one prefix, in an order that follows from the seed alone.</summary>
/// <remarks>Nothing of it need be kept to go on after a stop: the number of a batch says all.</remarks>
public sealed class SequenceOrder
{
    private readonly (int Length, int Prefix, int[] Sequences, int B)[] groups;
    private readonly int seed;
    private readonly int batches;
    private (long Epoch, int[][] Batches) current = (-1, []);

    /// <summary>Groups a file's sequences by shape.</summary>
    /// <param name="file">Where they are.</param>
    /// <param name="batchTokens">As many whole sequences make a batch as hold this many tokens, at least one.</param>
    /// <param name="seed">Decides the order.</param>
    public SequenceOrder(TokenFile file, int batchTokens, int seed)
    {
        this.seed = seed;
        groups = [.. Enumerable.Range(0, file.Count)
            .GroupBy(file.ShapeOf)
            .OrderBy(group => group.Key)
            .Select(group => (group.Key.Length, group.Key.Prefix, Sequences: group.ToArray(), B: Math.Max(1, batchTokens / (group.Key.Length - 1))))
            .Select(group => group with { B = Math.Min(group.B, group.Sequences.Length) })];
        batches = groups.Sum(group => group.Sequences.Length / group.B);
    }

    /// <summary>How many batches there are before sequences come again.</summary>
    public int BatchesPerEpoch => batches;

    /// <summary>The sequences of a batch, counted from 0 over all epochs.</summary>
    /// <remarks>In each epoch, the few sequences that are left when a shape's batches are full are others.</remarks>
    public IReadOnlyList<int> this[long batch]
    {
        get
        {
            long epoch = batch / batches;
            if (current.Epoch != epoch) current = (epoch, Shuffled(epoch));
            return current.Batches[batch % batches];
        }
    }

    private int[][] Shuffled(long epoch)
    {
        var random = new Random(HashCode(seed, epoch));
        var all = new List<int[]>(batches);
        foreach (var (_, _, sequences, B) in groups)
        {
            int[] order = [.. sequences];
            random.Shuffle(order);
            all.AddRange(order.Chunk(B).Where(chunk => chunk.Length == B));
        }
        int[][] shuffled = [.. all];
        random.Shuffle(shuffled);
        return shuffled;
    }

    /// <summary>A seed for one of many streams of random numbers, the same in every process.</summary>
    internal static int HashCode(int seed, long stream)
    {
        ulong mixed = (ulong)(uint)seed * 0x9E3779B97F4A7C15 + (ulong)stream;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
        return (int)(mixed ^ (mixed >> 31)) & int.MaxValue;
    }
}
