namespace ReadTwice.Tests.Kernels;

/// <summary>Random operands, and how near two results must be.</summary>
internal static class Numbers
{
    /// <summary>Values spread evenly over -size .. size.</summary>
    public static float[] Random(Random random, int count, float size = 1)
    {
        var values = new float[count];
        foreach (ref float value in values.AsSpan()) value = (2 * random.NextSingle() - 1) * size;
        return values;
    }

    /// <summary>Fails where a value is further from what was expected than the tolerance times the largest expected value.</summary>
    public static void Near(In expected, In actual, float tolerance, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        float largest = 0;
        foreach (float value in expected) largest = Math.Max(largest, Math.Abs(value));
        for (int i = 0; i < expected.Length; i++)
            if (!(Math.Abs(expected[i] - actual[i]) <= tolerance * largest))
                Assert.Fail($"{what}[{i}] is {actual[i]:g9}, expected {expected[i]:g9} within {tolerance * largest:g3}.");
    }

    /// <summary>Fails where a gradient is further than the tolerance from the difference of the loss at both sides of a value.</summary>
    public static void RequireDifferences(Func<double> loss, float step, double tolerance, params ReadOnlySpan<(float[] Values, float[] Gradients)> operands)
    {
        foreach (var (values, gradients) in operands)
            for (int i = 0; i < values.Length; i++)
            {
                float kept = values[i];
                values[i] = kept + step;
                double more = loss();
                values[i] = kept - step;
                double difference = (more - loss()) / (2 * step);
                values[i] = kept;
                Assert.Equal(difference, gradients[i], tolerance);
            }
    }
}
