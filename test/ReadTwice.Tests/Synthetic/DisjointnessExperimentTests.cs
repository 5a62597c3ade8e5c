using ReadTwice.Synthetic;

namespace ReadTwice.Tests.Synthetic;

public sealed class DisjointnessExperimentTests
{
    // Enough for a tiny vocabulary: chance is 1 of 2 to 6 tokens.
    private static readonly DisjointnessSettings settings = new()
    {
        VocabularySize = 24,
        TrainingSizes = SetDisjointness.BothOrders([new(2, 6)]),
        TestSizes = SetDisjointness.BothOrders([new(2, 6)]),
        Steps = 400,
        BatchSize = 32,
        TestExamples = 200,
        Rate = 1e-2,
    };

    [Fact]
    public void Every_reader_learns_what_fits_its_state_and_the_same_seed_gives_the_same_result()
    {
        Native.Libtorch.Threads = 1;
        foreach (var reader in Enum.GetValues<SetReader>())
        {
            var run = Run(settings, reader, F: 8);
            Assert.True(run.ShortFirst > 0.6, $"{reader}: {run.ShortFirst}");
            Assert.Equal([(2, 6, true), (6, 2, true)], run.Sizes.Select(size => (size.A, size.B, size.Trained)));
            Assert.Equal((run.Sizes[0].Accuracy, run.Sizes[1].Accuracy), (run.ShortFirst, run.LongFirst));
        }
        var brief = settings with { Steps = 20 };
        Assert.Equal(Run(brief, SetReader.NonCausal, 8).Sizes, Run(brief, SetReader.NonCausal, 8).Sizes);
    }

    [Fact]
    public void The_size_of_the_state_is_that_of_the_reader_and_not_of_the_text()
    {
        Native.Libtorch.Threads = 1;
        var quick = settings with { Steps = 1, TestExamples = 1 };
        var longer = quick with { TestSizes = [new(4, 8)] };
        long once = Run(quick, SetReader.Causal, 4).StateBytes;
        Assert.Equal(once, Run(quick, SetReader.Repeated, 4).StateBytes);
        Assert.Equal(once, Run(quick, SetReader.NonCausal, 4).StateBytes);
        Assert.Equal(once, Run(longer, SetReader.Causal, 4).StateBytes);
        Assert.True(once < Run(quick, SetReader.Causal, 8).StateBytes);

        // Keys and values of two layers for each of four more tokens.
        Assert.Equal(4 * 2 * 2 * 16 * sizeof(float), Run(longer, SetReader.Attention, 4).StateBytes - Run(quick, SetReader.Attention, 4).StateBytes);
    }

    private static DisjointnessRun Run(DisjointnessSettings settings, SetReader reader, int F) => DisjointnessExperiment.Run(settings, new(reader, D: 16, F, Seed: 1));
}
