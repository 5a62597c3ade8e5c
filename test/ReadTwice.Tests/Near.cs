using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests;

/// <summary>Equality of tensors up to rounding.</summary>
internal static class Near
{
    /// <summary>Float32 sums of a few hundred terms in another order, relative to the largest value.</summary>
    public const double Rounding = 2e-5;

    public static void Equal(Tensor expected, Tensor actual, double tolerance = Rounding, string? because = null)
    {
        Assert.Equal(expected.shape, actual.shape);
        if (expected.numel() == 0) return;
        using var scope = NewDisposeScope();
        double difference = (expected.to(ScalarType.Float64) - actual.to(ScalarType.Float64)).abs().max().item<double>();
        double largest = Math.Max(1, expected.abs().max().to(ScalarType.Float64).item<double>());
        Assert.True(difference <= tolerance * largest, $"{because ?? "values"} differ by {difference:0.0e+0}, of at most {largest:0.0e+0}; {tolerance * largest:0.0e+0} is allowed");
    }

    public static void Equal(RecurrentState expected, RecurrentState actual)
    {
        Assert.Equal(expected.Position, actual.Position);
        Assert.Equal(expected.TokenHash, actual.TokenHash);
        Assert.Equal(expected.Count, actual.Count);
        for (int i = 0; i < expected.Count; i++)
        {
            Assert.Equal(expected[i].Names, actual[i].Names);
            foreach (string name in expected[i].Names) Equal(expected[i][name], actual[i][name], because: $"state {i} {name}");
        }
        Assert.Equal(expected.Logits is null, actual.Logits is null);
        if (expected.Logits is not null) Equal(expected.Logits, actual.Logits!, because: "the last logits");
    }
}
