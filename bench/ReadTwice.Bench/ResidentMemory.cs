namespace ReadTwice.Bench;

/// <summary>How much memory work takes beyond what the process had before, as Linux counts resident pages.</summary>
/// <remarks>
/// The allocator keeps what it once had, so a number is the most of this work and of all before it: measure the smaller work first.
/// </remarks>
public sealed class ResidentMemory
{
    private const string Status = "/proc/self/status", Reset = "/proc/self/clear_refs";
    private const string ResetPeak = "5";

    private readonly long before = Bytes("VmRSS:") ?? 0;

    /// <summary>Does the work and gives the highest number of bytes meanwhile, less those at the beginning; null where the system does not tell.</summary>
    public long? PeakOf(Action work)
    {
        bool reset = TryReset();
        work();
        return reset ? Bytes("VmHWM:") - before : null;
    }

    private static bool TryReset()
    {
        if (!File.Exists(Reset)) return false;
        try
        {
            File.WriteAllText(Reset, ResetPeak);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static long? Bytes(string name)
    {
        if (!File.Exists(Status)) return null;
        string? line = File.ReadLines(Status).FirstOrDefault(each => each.StartsWith(name, StringComparison.Ordinal));
        return line is null ? null : 1024 * long.Parse(line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1]);
    }
}
