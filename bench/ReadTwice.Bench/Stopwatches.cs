using System.Diagnostics;

namespace ReadTwice.Bench;

/// <summary>Something that is timed.</summary>
/// <param name="Name">What it is called in a row.</param>
/// <param name="Run">Does it once.</param>
public sealed record Contender(string Name, Action Run);

/// <summary>Times contenders in turn, so that what else the machine does meets all of them alike.</summary>
public static class Stopwatches
{
    private const double LeastSample = 0.05;   // seconds: shorter samples measure the clock and the scheduler

    /// <summary>The times of each contender, one a round, in seconds for one run, in the order of the contenders.</summary>
    /// <param name="rounds">How often each is sampled.</param>
    /// <param name="contenders">A B C, A B C, …</param>
    public static IReadOnlyList<Times> Race(int rounds, params IReadOnlyList<Contender> contenders)
    {
        var runs = contenders.Select(contender => RunsOfASample(contender.Run)).ToArray();
        var samples = contenders.Select(_ => new List<double>()).ToArray();
        for (int round = 0; round < rounds; round++)
            for (int i = 0; i < contenders.Count; i++) samples[i].Add(Sample(contenders[i].Run, runs[i]));
        return [.. samples.Select(each => new Times(each))];
    }

    private static double Sample(Action run, int times)
    {
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < times; i++) run();
        return Stopwatch.GetElapsedTime(start).TotalSeconds / times;
    }

    // The first run compiles and touches memory; the second says how many make a sample.
    private static int RunsOfASample(Action run)
    {
        run();
        return (int)Math.Clamp(Math.Ceiling(LeastSample / Sample(run, 1)), 1, 10_000);
    }
}

/// <summary>Seconds that one run took, a number a round.</summary>
public sealed record Times(IReadOnlyList<double> Seconds)
{
    /// <summary>The middle one.</summary>
    public double Median => Sorted()[Seconds.Count / 2];

    /// <summary>Half the distance between the quartiles, as a share of the median.</summary>
    public double Spread => (Sorted()[Seconds.Count * 3 / 4] - Sorted()[Seconds.Count / 4]) / 2 / Median;

    private double[] Sorted() => [.. Seconds.Order()];
}
