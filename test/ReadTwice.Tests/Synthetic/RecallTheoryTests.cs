using ReadTwice.Synthetic;

namespace ReadTwice.Tests.Synthetic;

public sealed class RecallTheoryTests
{
    // The published table: bytes by model width and feature width.
    [Theory]
    [InlineData(36, 4, 5_424), InlineData(36, 24, 99_664), InlineData(48, 8, 19_152), InlineData(64, 16, 82_320), InlineData(96, 4, 14_064), InlineData(128, 24, 341_072)]
    public void State_sizes_are_those_of_the_papers_axis(long d, long f, long bytes) => Assert.Equal(bytes, RecallTheory.StateBytes(d, f));

    [Fact]
    public void Once_the_first_set_decides_and_twice_the_smaller()
    {
        var longFirst = RecallTheory.Bounds(new(256, 4), 11, times: 3);
        Assert.Equal([("once", 256, 2816), ("twice", 2, 44), ("3x", 4.0 / 3, 44), ("both sets in advance", 4, 44)],
            longFirst.Select(bound => (bound.Reading, bound.Needed, bound.Enough!.Value)));
        Assert.Equal(4, RecallTheory.Bounds(new(4, 256), 11)[0].Needed);
    }

    [Fact]
    public void Empty_sets_have_no_bounds() => Assert.Throws<ArgumentException>(() => RecallTheory.Bounds(new(0, 4), 11));
}
