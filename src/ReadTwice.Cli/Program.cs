using System.Runtime.InteropServices;
using ReadTwice.Cli;
using ReadTwice.Native;

Libtorch.PrepareProcess();
using var stop = new CancellationTokenSource();

// The first signal lets work end where nothing is lost; a second one ends the process.
void Stop(PosixSignalContext signal)
{
    signal.Cancel = !stop.IsCancellationRequested;
    stop.Cancel();
}

using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
return await Jrt.Run(args, Terminal.OfProcess(), stop.Token);
