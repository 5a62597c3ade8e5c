using System.Runtime;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;

namespace ReadTwice.Documents;

/// <summary>Runs a reader over a file nobody vouches for, and stops it where one page costs too much time or memory, whatever it is doing.</summary>
/// <remarks>It cannot stop a reader that calls itself without end: that exhausts the stack and ends the process.</remarks>
internal sealed class Watchdog(TimeSpan limit, CancellationToken cancel) : IDisposable
{
    private const long MostMemory = 2L << 30;

    private readonly CancellationTokenSource stop = new();
    private readonly long memory = GC.GetTotalMemory(forceFullCollection: false);
    private long began = Environment.TickCount64;
    private string? reason;

    /// <summary>Says that the reader has got on by a page: the time begins anew.</summary>
    public void NextPage() => Volatile.Write(ref began, Environment.TickCount64);

    /// <summary>Runs the reader to its end, or to a limit.</summary>
    /// <exception cref="InvalidDataException">A page took too much.</exception>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    public void Run(Action read)
    {
        const int Period = 20;
        ExceptionDispatchInfo? failure = null;
        // A thread of its own: the caller may stand in a handler of exceptions, inside which no thread can be stopped.
        var reader = new Thread(() => failure = Failure(read)) { IsBackground = true, Name = nameof(Watchdog) };
        reader.Start();
        while (!reader.Join(Period))
            if (!stop.IsCancellationRequested && Ends()) stop.Cancel();
        if (failure is null) return;
        if (failure.SourceException is OperationCanceledException && reason is not null) throw new InvalidDataException(reason);
        failure.Throw();
    }

    public void Dispose() => stop.Dispose();

    private ExceptionDispatchInfo? Failure(Action read)
    {
        try
        {
            // A loop within the reader looks at no token, so its thread is interrupted. The platform warns that this may leave what the
            // thread was changing half changed; here that is the reader's own page, which is dropped.
#pragma warning disable SYSLIB0046
            if (RuntimeFeature.IsDynamicCodeSupported) ControlledExecution.Run(read, stop.Token);
            else read();
#pragma warning restore SYSLIB0046
            return null;
        }
        catch (Exception e)
        {
            return ExceptionDispatchInfo.Capture(e);
        }
    }

    private bool Ends()
    {
        if (cancel.IsCancellationRequested) return true;
        if (Environment.TickCount64 - Volatile.Read(ref began) > limit.TotalMilliseconds) reason = $"a page takes more than {limit.TotalSeconds:0} s";
        else if (GC.GetTotalMemory(forceFullCollection: false) - memory > MostMemory) reason = $"a page takes more than {MostMemory >> 30} GB of memory";
        return reason is not null;
    }
}
