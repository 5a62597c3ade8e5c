namespace ReadTwice.Synthetic;

/// <summary>What a state must and what it need hold, in bits, to tell what two sets have in common; up to constant factors.</summary>
/// <param name="Reading">How they are read.</param>
/// <param name="Needed">Fewer bits cannot do, whatever the model computes.</param>
/// <param name="Enough">So many can; null where no construction is known.</param>
public sealed record StateBound(string Reading, double Needed, double? Enough);

/// <summary>The theory of set disjointness for models that read from left to right (arXiv 2407.05483, section 3).</summary>
public static class RecallTheory
{
    /// <summary>The bounds for sets read once, several times, and by a reader that sees both before it decides what to keep.</summary>
    /// <param name="sizes">How large the sets are, in the order in which they are read.</param>
    /// <param name="elementBits">Bits of one element.</param>
    /// <param name="times">The most readings to tell of.</param>
    /// <exception cref="ArgumentException">A set is empty, or an element has no bits.</exception>
    public static IReadOnlyList<StateBound> Bounds(SetSizes sizes, int elementBits, int times = 2)
    {
        if (sizes.A < 1 || sizes.B < 1 || elementBits < 1 || times < 1)
            throw new ArgumentException($"Sets of {sizes.A} and {sizes.B} elements of {elementBits} bits, read {times} times: all of them must be 1 or more.");
        double smaller = Math.Min(sizes.A, sizes.B);
        var bounds = new List<StateBound> { new(new Reading(1).ToString(), sizes.A, (double)sizes.A * elementBits) };
        // p copies hand the state over 2 p times between the sets, and two-way communication needs the smaller set's size.
        for (int p = 2; p <= times; p++) bounds.Add(new(new Reading(p).ToString(), smaller / p, smaller * elementBits));
        bounds.Add(new("both sets in advance", smaller, smaller * elementBits));
        return bounds;
    }

    /// <summary>The state of the authors' synthetic model in bytes: two layers of linear attention and two convolutions, float32.</summary>
    /// <remarks>With second-order features packed, D' = f (f + 1) / 2 + f + 1; 4 (2 D' (d + 2) + 6 d).</remarks>
    /// <param name="d">Model width.</param>
    /// <param name="f">Feature width.</param>
    public static long StateBytes(long d, long f)
    {
        long features = f * (f + 1) / 2 + f + 1;
        return sizeof(float) * (2 * features * (d + 2) + 6 * d);
    }
}
