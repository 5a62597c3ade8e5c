namespace ReadTwice.Kernels;

/// <summary>Checks that a span holds what its shape says, where values enter a kernel.</summary>
public static class Shape
{
    /// <summary>Throws where <paramref name="values"/> does not hold the product of <paramref name="sizes"/> numbers.</summary>
    /// <exception cref="ArgumentException">The length is not the product of the sizes.</exception>
    public static void Require(
        In values, ReadOnlySpan<long> sizes, [System.Runtime.CompilerServices.CallerArgumentExpression(nameof(values))] string name = "")
    {
        long need = 1;
        foreach (long size in sizes) need *= size;
        if (values.Length != need)
            throw new ArgumentException($"{name} holds {values.Length} values; [{string.Join(", ", sizes.ToArray())}] needs {need}.", name);
    }

    /// <summary>Throws where <paramref name="values"/> are not rows of some columns, each of which starts so many numbers after the last.</summary>
    /// <exception cref="ArgumentException">The span ends elsewhere than its last row does, or rows overlap.</exception>
    public static void RequireRows(
        In values, long rows, int columns, int stride, [System.Runtime.CompilerServices.CallerArgumentExpression(nameof(values))] string name = "")
    {
        long need = (rows - 1) * stride + columns;
        if (stride < columns || values.Length != need)
            throw new ArgumentException($"{name} holds {values.Length} values; {rows} rows of {columns}, {stride} apart, need {need}, and must not overlap.", name);
    }
}
