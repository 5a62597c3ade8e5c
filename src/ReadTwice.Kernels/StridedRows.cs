namespace ReadTwice.Kernels;

/// <summary>Rows that lie equally far apart.</summary>
internal static unsafe class StridedRows
{
    /// <summary>Copies some columns of rows to where rows lie further apart, or nearer.</summary>
    public static void Copy(float* from, nint fromStep, float* to, nint toStep, int rows, int columns)
    {
        for (int i = 0; i < rows; i++) new In(from + i * fromStep, columns).CopyTo(new Ref(to + i * toStep, columns));
    }
}
