using ReadTwice.Training;

namespace ReadTwice.Tests.Training;

public sealed class LearningRateTests
{
    [Fact]
    public void The_rates_of_the_published_run_are_met()
    {
        const int Digits = 12;
        var rate = new LearningRate(8e-4, 8e-5, WarmUp: 600, Cosine: 59_400);
        Assert.Equal(1e-6, rate.At(0), Digits);
        Assert.Equal(7.98668333333e-4, rate.At(599), Digits);
        Assert.Equal(8e-4, rate.At(600), Digits);
        Assert.Equal(4.4e-4, rate.At(600 + 29_700), Digits);
        Assert.Equal(8e-5, rate.At(60_000), Digits);
        Assert.Equal(8e-5, rate.At(70_000), Digits);
    }

    [Fact]
    public void Without_a_warm_up_the_first_update_has_the_peak_rate() => Assert.Equal(1e-3, new LearningRate(1e-3, 1e-4, 0, 10).At(0));
}
