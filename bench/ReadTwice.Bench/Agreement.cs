using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Bench;

/// <summary>How far results of the same computation are apart: what is raced must agree first.</summary>
internal static class Agreement
{
    /// <summary>The largest difference, relative to the largest value.</summary>
    public static double Of(Tensor ours, Tensor theirs) => (ours - theirs).abs().max().item<float>() / theirs.abs().max().item<float>();

    /// <summary>The difference, where it is no more than was expected.</summary>
    /// <exception cref="InvalidOperationException">It is more, or no number.</exception>
    public static double Within(double most, double difference, string what) =>
        difference <= most ? difference : throw new InvalidOperationException($"{what} differ by {difference:0.0e+0} of the largest; {most:0.0e+0} was expected.");
}
