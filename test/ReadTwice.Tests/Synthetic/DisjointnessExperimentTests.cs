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
            var run = DisjointnessExperiment.Run(settings, reader, D: 16, F: 8, seed: 1);
            Assert.True(run.ShortFirst > 0.6, $"{reader}: {run.ShortFirst}");
            Assert.Equal(["2_6", "6_2"], run.Accuracy.Keys);
            Assert.True(run.StateBytes > 0);
        }
        var brief = settings with { Steps = 20 };
        Assert.Equal(
            DisjointnessExperiment.Run(brief, SetReader.Prefix, 16, 8, 2).Accuracy, DisjointnessExperiment.Run(brief, SetReader.Prefix, 16, 8, 2).Accuracy);
    }

    [Fact]
    public void The_size_of_the_state_is_that_of_the_reader_and_not_of_the_text()
    {
        Native.Libtorch.Threads = 1;
        var quick = settings with { Steps = 1, TestExamples = 1 };
        long once = DisjointnessExperiment.Run(quick, SetReader.Once, 16, 4, 1).StateBytes;
        Assert.Equal(once, DisjointnessExperiment.Run(quick, SetReader.Twice, 16, 4, 1).StateBytes);
        Assert.Equal(once, DisjointnessExperiment.Run(quick, SetReader.Prefix, 16, 4, 1).StateBytes);
        Assert.True(once < DisjointnessExperiment.Run(quick, SetReader.Once, 16, 8, 1).StateBytes);
    }
}
