namespace ReadTwice.Bench;

/// <summary>One comparison: this project against a peer, in one run, after their results were seen to agree.</summary>
/// <param name="Bench">What was done.</param>
/// <param name="Shape">The sizes.</param>
/// <param name="OursMs">Our median, in milliseconds.</param>
/// <param name="OursSpread">Half the distance between the quartiles, as a share of the median.</param>
/// <param name="Peer">What it is compared with.</param>
/// <param name="PeerMs">Its median.</param>
/// <param name="PeerSpread">Its spread.</param>
/// <param name="Agreement">The largest difference of the results, relative to the largest value; NaN where they compute different things.</param>
public sealed record Row(
    string Bench, IReadOnlyDictionary<string, long> Shape, double OursMs, double OursSpread, string Peer, double PeerMs, double PeerSpread, double Agreement)
{
    /// <summary>The peer's time over ours: above 1 we are the faster.</summary>
    public double Ratio => PeerMs / OursMs;

    /// <summary>Tokens of all texts in a second of ours.</summary>
    public double TokensPerSecond => Shape["T"] * Shape.GetValueOrDefault("B", 1) / OursMs * 1000;

    /// <summary>The most memory that ours took beyond the weights, in bytes; null where it was not measured.</summary>
    public long? PeakBytes { get; init; }

    /// <summary>Rows of one race, whose first contender is ours.</summary>
    public static IEnumerable<Row> Of(
        string bench, IReadOnlyDictionary<string, long> shape, IReadOnlyList<Contender> contenders, IReadOnlyList<Times> times, Func<int, double> agreement)
    {
        for (int i = 1; i < contenders.Count; i++)
            yield return new(
                bench, shape, times[0].Median * 1000, times[0].Spread, contenders[i].Name, times[i].Median * 1000, times[i].Spread, agreement(i));
    }
}

/// <summary>What the numbers were measured on.</summary>
/// <param name="Processor">Its name.</param>
/// <param name="Threads">How many were used.</param>
/// <param name="VectorBits">The widest vectors that kernels use.</param>
/// <param name="Runtime">Of .NET.</param>
/// <param name="Date">When.</param>
public sealed record Machine(string Processor, int Threads, int VectorBits, string Runtime, string Date)
{
    /// <summary>This one.</summary>
    public static Machine Here(int threads) => new(
        ProcessorName(), threads,
        System.Runtime.Intrinsics.Vector512.IsHardwareAccelerated ? 512 : System.Runtime.Intrinsics.Vector256.IsHardwareAccelerated ? 256 : 128,
        System.Runtime.InteropServices.RuntimeInformation.FrameworkDescription, DateTime.UtcNow.ToString("yyyy-MM-dd"));

    private static string ProcessorName()
    {
        const string Info = "/proc/cpuinfo", Key = "model name";
        string? line = File.Exists(Info) ? File.ReadLines(Info).FirstOrDefault(each => each.StartsWith(Key, StringComparison.Ordinal)) : null;
        return line?[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim() ?? System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture.ToString();
    }
}
