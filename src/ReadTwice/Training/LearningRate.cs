namespace ReadTwice.Training;

/// <summary>A linear warm-up, then a cosine from the peak to the final rate.</summary>
/// <param name="Peak">The rate after the warm-up.</param>
/// <param name="Final">The rate at the end of the cosine, and from there on.</param>
/// <param name="WarmUp">Updates of the warm-up.</param>
/// <param name="Cosine">Updates of the cosine.</param>
public sealed record LearningRate(double Peak, double Final, long WarmUp, long Cosine)
{
    /// <summary>Where the warm-up starts.</summary>
    public const double First = 1e-6;

    /// <summary>The rate of an update, counted from 0.</summary>
    public double At(long update)
    {
        if (update < WarmUp) return First + update * (Peak - First) / WarmUp;
        long t = Math.Min(update - WarmUp, Cosine);
        return Cosine == 0 ? Final : Final + (Peak - Final) * (1 + Math.Cos(Math.PI * t / Cosine)) / 2;
    }
}
