using ReadTwice.Training;

namespace ReadTwice.Tests.Training;

public sealed class SequenceOrderTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly TokenFile file;

    public SequenceOrderTests()
    {
        // Ten of one shape and seven of another.
        TokenFile.Write(folder.File("a.seq"), 300, [.. Enumerable.Range(0, 17).Select(i => TokenSequence.OfText(new int[i % 5 < 3 ? 9 : 5], 2))]);
        file = new(folder.File("a.seq"));
    }

    public void Dispose()
    {
        file.Dispose();
        folder.Dispose();
    }

    [Fact]
    public void A_batch_holds_sequences_of_one_shape_and_no_sequence_comes_twice_in_an_epoch()
    {
        var order = new SequenceOrder(file, batchTokens: 24, seed: 3);   // three of 8 tokens, six of 4
        var seen = new List<int>();
        for (int i = 0; i < order.BatchesPerEpoch; i++)
        {
            Assert.Single(order[i].Select(file.ShapeOf).Distinct());
            seen.AddRange(order[i]);
        }
        Assert.Equal(seen.Count, seen.Distinct().Count());
        Assert.Equal(3 + 1, order.BatchesPerEpoch);
    }

    [Fact]
    public void The_number_of_a_batch_says_what_is_in_it_whatever_was_asked_before()
    {
        var (forward, backward) = (new SequenceOrder(file, 24, 3), new SequenceOrder(file, 24, 3));
        var there = Enumerable.Range(0, 20).Select(i => string.Join(' ', forward[i])).ToList();
        var back = Enumerable.Range(0, 20).Reverse().Select(i => string.Join(' ', backward[i])).Reverse().ToList();
        Assert.Equal(there, back);
    }

    [Fact]
    public void Epochs_and_seeds_differ_in_their_order()
    {
        var (order, other) = (new SequenceOrder(file, 8, 3), new SequenceOrder(file, 8, 4));
        string Epoch(SequenceOrder of, int epoch) =>
            string.Join(',', Enumerable.Range(0, of.BatchesPerEpoch).Select(i => string.Join(' ', of[epoch * of.BatchesPerEpoch + i])));
        Assert.NotEqual(Epoch(order, 0), Epoch(order, 1));
        Assert.NotEqual(Epoch(order, 0), Epoch(other, 0));
    }
}
