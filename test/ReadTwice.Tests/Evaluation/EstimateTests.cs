using ReadTwice.Evaluation;

namespace ReadTwice.Tests.Evaluation;

public sealed class EstimateTests
{
    [Fact]
    public void Examples_of_documents_of_their_own_have_the_standard_error_of_the_mean()
    {
        double[] values = [0, 100, 100, 0, 100];
        var estimate = Estimate.Of([.. values.Select((value, i) => ($"d{i}", value))]);
        Assert.Equal(60, estimate.Mean);
        double deviation = Math.Sqrt(values.Sum(value => (value - 60) * (value - 60)) / 4);
        Assert.Equal(deviation / Math.Sqrt(5), estimate.StandardError, 10);
        Assert.Equal(60 - 1.959964 * estimate.StandardError, estimate.Low, 6);
        Assert.Equal(60 + 1.959964 * estimate.StandardError, estimate.High, 6);
    }

    [Fact]
    public void Examples_that_only_repeat_their_document_make_it_no_more_certain()
    {
        (string, double)[] once = [("a", 0), ("b", 100), ("c", 100)];
        Assert.Equal(Estimate.Of(once).StandardError, Estimate.Of([.. once, .. once, .. once, .. once]).StandardError, 10);
    }

    [Fact]
    public void Nothing_has_no_mean() => Assert.Throws<ArgumentException>(() => Estimate.Of([]));
}
