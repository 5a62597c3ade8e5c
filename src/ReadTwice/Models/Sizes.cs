namespace ReadTwice.Models;

/// <summary>Sizes that a config gives and that must fit each other.</summary>
internal static class Sizes
{
    /// <summary>n / parts, where that is a whole number and nothing is below one.</summary>
    /// <param name="n">A size.</param>
    /// <param name="what">What it is, for the message: "inner channels".</param>
    /// <param name="parts">A number of equal parts.</param>
    /// <param name="ofWhat">What they are: "heads".</param>
    /// <exception cref="InvalidDataException">It is not.</exception>
    public static long Divide(long n, string what, long parts, string ofWhat) =>
        n >= 1 && parts >= 1 && n % parts == 0 ? n / parts
            : throw new InvalidDataException($"config.json: {n} {what} do not divide into {parts} {ofWhat}; a whole number of one or more is needed for each.");
}
