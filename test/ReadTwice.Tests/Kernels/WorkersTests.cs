using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

/// <summary>Run while nothing else does: who comes second runs its parts one after another.</summary>
[CollectionDefinition(nameof(WorkersTests), DisableParallelization = true)]
[Collection(nameof(WorkersTests))]
public class WorkersTests
{
    [Theory, InlineData(0), InlineData(1), InlineData(2), InlineData(5), InlineData(40)]
    public void Every_part_runs_once(int parts)
    {
        for (int round = 0; round < 100; round++)
        {
            var runs = new int[parts];
            Workers.Run(parts, part => Interlocked.Increment(ref runs[part]));
            Assert.All(runs, count => Assert.Equal(1, count));
        }
    }

    [Theory, InlineData(0), InlineData(1), InlineData(3), InlineData(40)]
    public void Every_item_runs_once_on_as_many_threads_as_were_given(int items)
    {
        const int Threads = 3;
        var runs = new int[items];
        var seen = new System.Collections.Concurrent.ConcurrentDictionary<int, bool>();
        Workers.Run(items, Threads, item =>
        {
            seen[Environment.CurrentManagedThreadId] = true;
            Interlocked.Increment(ref runs[item]);
        });
        Assert.All(runs, count => Assert.Equal(1, count));
        Assert.InRange(seen.Count, Math.Min(1, items), Threads);
    }

    [Fact]
    public void Parts_run_at_the_same_time()
    {
        using var barrier = new Barrier(3);
        Workers.Run(3, _ => Assert.True(barrier.SignalAndWait(TimeSpan.FromSeconds(30))));
    }

    [Fact]
    public void Workers_wake_after_a_sleep()
    {
        Workers.Run(3, _ => { });
        Thread.Sleep(200);
        using var barrier = new Barrier(3);
        Workers.Run(3, _ => Assert.True(barrier.SignalAndWait(TimeSpan.FromSeconds(30))));
    }

    [Fact]
    public void An_exception_in_a_part_reaches_the_caller_after_the_others_are_done()
    {
        for (int failing = 0; failing < 4; failing++)
        {
            int done = 0;
            var thrown = Assert.Throws<InvalidDataException>(() => Workers.Run(4, part =>
            {
                if (part == failing) throw new InvalidDataException("broken");
                Interlocked.Increment(ref done);
            }));
            Assert.Equal("broken", thrown.Message);
            Assert.Equal(3, done);
        }
        Workers.Run(2, _ => { });
    }

    [Fact]
    public void A_part_may_itself_run_parts()
    {
        int runs = 0;
        Workers.Run(3, _ => Workers.Run(3, _ => Interlocked.Increment(ref runs)));
        Assert.Equal(9, runs);
    }

    [Fact]
    public void Several_callers_at_once_all_get_their_parts_done()
    {
        Parallel.For(0, 8, _ =>
        {
            for (int round = 0; round < 200; round++)
            {
                int runs = 0;
                Workers.Run(3, _ => Interlocked.Increment(ref runs));
                Assert.Equal(3, runs);
            }
        });
    }
}
