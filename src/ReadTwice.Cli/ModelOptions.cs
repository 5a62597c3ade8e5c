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
        Description = "Checkpoint: a folder, or a hub id that was pulled before. Without it, the small reader of FDA summaries that comes with the program.",
        HelpName = "FOLDER|HUB-ID",
    };

    private readonly Option<string> type = new Option<string>("--dtype")
    {
        Description = "What the matrices are kept in.",
        DefaultValueFactory = _ => "f32",
    }.AcceptOnlyFromAmong("f32", "bf16");

    private readonly Option<string> quantize = MakeQuantize();
    private readonly Option<string> device = MakeDevice();

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
        command.Add(quantize);
        command.Add(device);
        command.Add(threads);
    }

    /// <summary>Loads the model that was chosen.</summary>
    public Checkpoint Load(ParseResult parsed)
    {
        if (parsed.GetValue(threads) is > 0 and var n) Libtorch.Threads = n;
        return Load(parsed.GetValue(model) ?? ShippedModels.Reader, parsed.GetValue(type)!, parsed.GetValue(quantize)!, parsed.GetValue(device)!);
    }

    /// <summary>The option that rounds the weights of linear layers.</summary>
    public static Option<string> MakeQuantize() => new Option<string>("--quantize")
    {
        Description = "What the weights of linear layers are rounded to: int8 makes writing faster and answers slightly different (see info).",
        DefaultValueFactory = _ => "none",
    }.AcceptOnlyFromAmong("none", "int8");

    /// <summary>Loads a checkpoint by folder or hub id.</summary>
    public static Checkpoint Load(string name, string type = "f32", string quantize = "none", string device = "cpu") => Checkpoint.Load(
        Folder(name), type == "bf16" ? torch.ScalarType.BFloat16 : torch.ScalarType.Float32, Quantization(quantize), Device(device));

    /// <summary>What an argument of --quantize says.</summary>
    public static Quantization Quantization(string quantize) => quantize == "int8" ? Checkpoints.Quantization.Int8 : Checkpoints.Quantization.None;

    /// <summary>Where a model computes, for commands with options of their own.</summary>
    public static Option<string> MakeDevice() => new Option<string>("--device")
    {
        Description = "Where the model computes: the processor, or an NVIDIA card.",
        DefaultValueFactory = _ => "cpu",
    }.AcceptOnlyFromAmong("cpu", "cuda");

    /// <summary>The device of this name.</summary>
    public static torch.Device Device(string name) => name == "cuda" ? Libtorch.Cuda() : torch.CPU;

    private static string Folder(string name) =>
        Path.Exists(name) ? name : new HubClient(HubSettings.FromEnvironment()).Resolve(name)
            ?? throw new DirectoryNotFoundException($"{name} is neither a folder nor a model that was pulled. To download it: jrt pull {name}");
}
