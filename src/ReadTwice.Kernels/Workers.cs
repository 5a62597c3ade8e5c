using System.Runtime.ExceptionServices;

namespace ReadTwice.Kernels;

/// <summary>Threads that wait for work awake for a moment and then asleep: far cheaper to start than the thread pool.</summary>
/// <remarks>
/// One call has them at a time. A call that finds them taken, from another thread or from inside a part, runs all its parts
/// itself, so the result depends on the number of parts alone.
/// </remarks>
public static class Workers
{
    private const int SpinsBeforeSleep = 2000;

    private static readonly SemaphoreSlim awake = new(0);
    private static Job? current;
    private static int taken, sleepers, threads;

    /// <summary>The number of threads meant by an argument: itself, or one for each processor where it is zero.</summary>
    public static int Count(int threads) => threads > 0 ? threads : Environment.ProcessorCount;

    /// <summary>Runs part(0) to part(parts - 1), several at a time, and returns when all are done.</summary>
    /// <remarks>An exception in a part reaches the caller when the others are done; of several, the first.</remarks>
    public static void Run(int parts, Action<int> part)
    {
        var job = new Job(parts, part);
        if (parts > 1 && Interlocked.CompareExchange(ref taken, 1, 0) == 0)
        {
            try
            {
                for (; threads < parts - 1; threads++) Start();
                Interlocked.Exchange(ref current, job);
                int sleeping = Interlocked.Exchange(ref sleepers, 0);
                if (sleeping > 0) awake.Release(sleeping);
                job.Work();
                job.Wait();
            }
            finally
            {
                Volatile.Write(ref current, null);
                Volatile.Write(ref taken, 0);
            }
        }
        else job.Work();
        job.Failure?.Throw();
    }

    /// <summary>Runs work(0) to work(items - 1) on some threads, each on whichever comes first: one that is held up leaves the rest to the others.</summary>
    public static void Run(int items, int threads, Action<int> work)
    {
        int next = -1;
        Run(Math.Min(items, threads), _ =>
        {
            for (int item; (item = Interlocked.Increment(ref next)) < items;) work(item);
        });
    }

    private static void Start() =>
        new Thread(Loop) { IsBackground = true, Name = "ReadTwice worker" }.Start();

    private static void Loop()
    {
        Job? last = null;
        while (true)
        {
            last = Next(last);
            last.Work();
        }
    }

    private static Job Next(Job? last)
    {
        while (true)
        {
            for (int spin = 0; spin < SpinsBeforeSleep; spin++)
            {
                if (Volatile.Read(ref current) is { } job && job != last) return job;
                Thread.SpinWait(1);
            }
            Interlocked.Increment(ref sleepers);
            // A job that came before the increment did not count this thread, so nobody would wake it.
            if (Volatile.Read(ref current) is { } missed && missed != last) return missed;
            awake.Wait();
        }
    }

    /// <summary>The parts of one call. Whoever comes takes the next, so a thread that comes late finds nothing to do.</summary>
    private sealed class Job
    {
        private readonly int parts;
        private readonly Action<int> part;
        private int next = -1, left;
        private ExceptionDispatchInfo? failure;

        public Job(int parts, Action<int> part) => (this.parts, left, this.part) = (parts, parts, part);

        public ExceptionDispatchInfo? Failure => failure;

        public void Work()
        {
            for (int i; (i = Interlocked.Increment(ref next)) < parts;)
            {
                try
                {
                    part(i);
                }
                catch (Exception e)
                {
                    Interlocked.CompareExchange(ref failure, ExceptionDispatchInfo.Capture(e), null);
                }
                Interlocked.Decrement(ref left);
            }
        }

        public void Wait()
        {
            var spinner = new SpinWait();
            while (Volatile.Read(ref left) > 0) spinner.SpinOnce(sleep1Threshold: -1);
        }
    }
}
