using System.CommandLine;
using ReadTwice.Checkpoints;
using ReadTwice.Hub;
using ReadTwice.Native;
using TorchSharp;

namespace ReadTwice.Cli;

/// <summary>The options that choose a model and how it is kept.</summary>
internal sealed class ModelOptions
{
    private readonly Option<string?> model = new("--model", "-m")
    {
        Description = "Checkpoint: a folder, or a hub id that was pulled before. Without it, a small untrained model is used, which shows the way and knows nothing.",
        HelpName = "FOLDER|HUB-ID",
    };

    private readonly Option<string> type = new Option<string>("--dtype")
    {
        Description = "What the matrices are kept in.",
        DefaultValueFactory = _ => "f32",
    }.AcceptOnlyFromAmong("f32", "bf16");

    private readonly Option<int> threads = new("--threads")
    {
        Description = "Processor threads to use; 0 for one a core.",
        HelpName = "N",
    };

    /// <summary>Adds the options to a command.</summary>
    public void AddTo(Command command)
    {
        command.Add(model);
        command.Add(type);
        command.Add(threads);
    }

    /// <summary>Loads the model that was chosen.</summary>
    public Checkpoint Load(ParseResult parsed, Terminal terminal)
    {
        if (parsed.GetValue(threads) is > 0 and var n) Libtorch.Threads = n;
        if (parsed.GetValue(model) is { } name) return Load(name, parsed.GetValue(type)!);
        terminal.Error.WriteLine("No --model given: a small JRT-RNN with random weights answers. Its words mean nothing; the path from document to state to answer is the real one.");
        return Untrained.Model();
    }

    /// <summary>Loads a checkpoint by folder or hub id.</summary>
    public static Checkpoint Load(string name, string type = "f32") =>
        Checkpoint.Load(Folder(name), type == "bf16" ? torch.ScalarType.BFloat16 : torch.ScalarType.Float32);

    private static string Folder(string name) =>
        Path.Exists(name) ? name : new HubClient(HubSettings.FromEnvironment()).Resolve(name)
            ?? throw new DirectoryNotFoundException($"{name} is neither a folder nor a model that was pulled. To download it: jrt pull {name}");
}
