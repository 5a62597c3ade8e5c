using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Verification;

/// <summary>How far a computed tensor is from the authors', at its largest difference.</summary>
/// <param name="Case">The fixture's case, or its operator.</param>
/// <param name="What">What was compared.</param>
/// <param name="Difference">The largest absolute difference; NaN where a number was not finite.</param>
/// <param name="Tolerance">What it may be.</param>
/// <param name="Problem">Why nothing could be compared; null where it could.</param>
public sealed record Comparison(string Case, string What, double Difference, double Tolerance, string? Problem = null)
{
    /// <summary>Whether the difference is a number within the tolerance.</summary>
    public bool Passed => Problem is null && Difference <= Tolerance;

    /// <summary>Compares two tensors of one shape.</summary>
    internal static Comparison Of(string @case, string what, Tensor ours, Tensor theirs, Tolerance tolerance)
    {
        using var scope = NewDisposeScope();
        if (!ours.shape.SequenceEqual(theirs.shape))
            return new(@case, what, double.NaN, 0, $"ours is [{string.Join(", ", ours.shape)}]; the fixture has [{string.Join(", ", theirs.shape)}].");
        if (theirs.numel() == 0) return new(@case, what, 0, 0);
        double difference = (ours.to(ScalarType.Float64) - theirs.to(ScalarType.Float64)).abs().max().item<double>();
        return new(@case, what, difference, tolerance.For(theirs));
    }
}

/// <summary>An allowed difference: absolute, and relative to the largest value of the reference.</summary>
internal readonly record struct Tolerance(double Absolute, double Relative)
{
    /// <summary>What it comes to for one reference tensor.</summary>
    public double For(Tensor reference)
    {
        using var largest = reference.abs().max().to(ScalarType.Float64);
        return Absolute + Relative * largest.item<double>();
    }
}
