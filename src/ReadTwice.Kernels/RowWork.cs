namespace ReadTwice.Kernels;

/// <summary>Cuts rows that do not depend on each other into parts for several threads.</summary>
internal static class RowWork
{
    private const int FewestNumbers = 1 << 14;

    /// <summary>Into how many parts so many rows of n numbers are cut.</summary>
    public static int Parts(int rows, int n, int threads) => (int)Math.Clamp((long)rows * n / FewestNumbers, 1, Math.Min(rows, Workers.Count(threads)));

    /// <summary>Calls work with the number of each part, its first row and the one after its last.</summary>
    public static void Run(int rows, int parts, Action<int, int, int> work)
    {
        if (parts == 1) work(0, 0, rows);
        else Workers.Run(parts, part => work(part, (int)((long)rows * part / parts), (int)((long)rows * (part + 1) / parts)));
    }
}
