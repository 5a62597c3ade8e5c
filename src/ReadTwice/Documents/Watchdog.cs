using System.Runtime;
using System.Runtime.CompilerServices;

namespace ReadTwice.Documents;

/// <summary>Runs a reader over a file nobody vouches for, and stops it where one page costs too much time or memory, whatever it is doing.</summary>
/// <remarks>It cannot stop a reader that calls itself without end: that exhausts the stack and ends the process.</remarks>
internal sealed class Watchdog : IDisposable
{
    private const long MostMemory = 2L << 30;

    private readonly CancellationToken cancel;
    private readonly CancellationTokenSource stop;
    private readonly Timer timer;
    private readonly TimeSpan limit;
    private readonly long memory = GC.GetTotalMemory(forceFullCollection: false);
    private long began = Environment.TickCount64;
    private volatile string? reason;

    public Watchdog(TimeSpan limit, CancellationToken cancel)
    {
        (this.limit, this.cancel) = (limit, cancel);
        stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        timer = new Timer(_ => Look(), null, dueTime: 50, period: 50);
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
        timer.Dispose();
        stop.Dispose();
    }

    private void Look()
    {
        if (Environment.TickCount64 - Volatile.Read(ref began) > limit.TotalMilliseconds) Stop($"a page takes more than {limit.TotalSeconds:0} s");
        else if (GC.GetTotalMemory(forceFullCollection: false) - memory > MostMemory) Stop($"a page takes more than {MostMemory >> 30} GB of memory");
    }

    private void Stop(string why)
    {
        reason = why;
        try
        {
            stop.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The reader ended while this was looking.
        }
    }
}
