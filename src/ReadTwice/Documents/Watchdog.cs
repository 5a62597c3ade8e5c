using System.Runtime;
using System.Runtime.CompilerServices;

namespace ReadTwice.Documents;

/// <summary>Runs a reader over a file nobody vouches for, and stops it where one page costs too much time or memory, whatever it is doing.</summary>
/// <remarks>It cannot stop a reader that calls itself without end: that exhausts the stack and ends the process.</remarks>
internal sealed class Watchdog : IDisposable
{
    private const long MostMemory = 2L << 30;

    private readonly CancellationToken cancel;
    private readonly CancellationTokenSource stop = new();
    private readonly ManualResetEventSlim ended = new();
    private readonly Thread thread;
    private readonly TimeSpan limit;
    private readonly long memory = GC.GetTotalMemory(forceFullCollection: false);
    private long began = Environment.TickCount64;
    private volatile string? reason;

    public Watchdog(TimeSpan limit, CancellationToken cancel)
    {
        (this.limit, this.cancel) = (limit, cancel);
        // A thread of its own: a timer waits for one of the pool's, and a reader that takes a gigabyte a second does not.
        thread = new Thread(Watch) { IsBackground = true, Name = nameof(Watchdog), Priority = ThreadPriority.Highest };
        thread.Start();
    }

    /// <summary>Says that the reader has got on by a page: the time begins anew.</summary>
    public void NextPage() => Volatile.Write(ref began, Environment.TickCount64);

    /// <summary>Runs the reader to its end, or to a limit.</summary>
    /// <exception cref="InvalidDataException">A page took too much.</exception>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    public void Run(Action read)
    {
        try
        {
            // A loop within the reader looks at no token, so its thread is interrupted. The platform warns that this may leave what the
            // thread was changing half changed; here that is the reader's own page, which is dropped.
#pragma warning disable SYSLIB0046
            if (RuntimeFeature.IsDynamicCodeSupported) ControlledExecution.Run(read, stop.Token);
            else read();
#pragma warning restore SYSLIB0046
        }
        catch (OperationCanceledException) when (reason is not null && !cancel.IsCancellationRequested)
        {
            throw new InvalidDataException(reason);
        }
    }

    public void Dispose()
    {
        ended.Set();
        thread.Join();
        ended.Dispose();
        stop.Dispose();
    }

    private void Watch()
    {
        const int Period = 20;
        while (!ended.Wait(Period))
        {
            if (Environment.TickCount64 - Volatile.Read(ref began) > limit.TotalMilliseconds) reason = $"a page takes more than {limit.TotalSeconds:0} s";
            else if (GC.GetTotalMemory(forceFullCollection: false) - memory > MostMemory) reason = $"a page takes more than {MostMemory >> 30} GB of memory";
            else if (!cancel.IsCancellationRequested) continue;
            stop.Cancel();
            return;
        }
    }
}
