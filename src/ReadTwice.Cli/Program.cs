using ReadTwice.Cli;
using ReadTwice.Native;

Libtorch.PrepareProcess();
return await Jrt.Run(args, Terminal.OfProcess());
