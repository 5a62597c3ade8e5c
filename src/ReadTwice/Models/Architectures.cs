using ReadTwice.Checkpoints;

namespace ReadTwice.Models;

/// <summary>A kind of model, and the forms in which its checkpoints are published.</summary>
/// <param name="Name">The short name.</param>
/// <param name="Paper">arXiv number.</param>
/// <param name="Families">The published forms.</param>
public sealed record Architecture(string Name, string Paper, IReadOnlyList<CheckpointFamily> Families);

/// <summary>Every architecture that is known.</summary>
public static class Architectures
{
    /// <summary>The list; to add one, add its file and a line here.</summary>
    public static IReadOnlyList<Architecture> All { get; } =
    [
        new("jrt", "2407.05483", [Hazy.Jrt]),
        new("based", "2402.18668", [Hazy.Based]),
        new("mamba", "2312.00752", [Mamba.StateSpaces, Mamba.Transformers, Mamba.Falcon]),
        new("mamba2", "2405.21060", [Mamba2.StateSpaces, Mamba2.Transformers, Mamba2.Fla]),
        new("longhorn", "2407.14207", [Longhorn.Published]),
        new("jamba", "2403.19887", [Jamba.Transformers]),
        new("bamba", "2405.21060", [Bamba.Transformers]),
        new("falcon-h1", "2507.22448", [FalconH1.Transformers]),
        new("recurrent-gemma", "2404.07839", [RecurrentGemma.Transformers]),
        new("rwkv4", "2305.13048", [Rwkv4.Transformers]),
        new("rwkv6", "2404.05892", [Rwkv6.FlaOrg, Rwkv6.Official]),
        new("rwkv7", "2503.14456", [Rwkv7.FlaOrg, Rwkv7.Official]),
        new("gla", "2312.06635", [Gla.Checkpoints]),
        new("retnet", "2307.08621", [RetNet.Checkpoints]),
        new("hgrn", "2311.04823", [Hgrn.Checkpoints]),
        new("hgrn2", "2404.07904", [Hgrn2.Checkpoints]),
        new("gsa", "2409.07146", [Gsa.Checkpoints]),
        new("lightnet", "2405.21022", [LightNet.Checkpoints]),
        new("linear_attn", "2006.16236", [LinearAttention.Checkpoints]),
        new("delta_net", "2406.06484", [DeltaNet.Checkpoints]),
        new("gated_deltanet", "2412.06464", [GatedDeltaNet.Checkpoints]),
        new("kda", "2510.26692", [Kda.Checkpoints]),
        new("comba", "2506.02475", [Comba.Checkpoints]),
        new("transformer", "1706.03762", [Transformer.Llama, Transformer.NeoX, Hazy.Attention]),
    ];

    /// <summary>The form that a config and the names of the tensors beside it are of.</summary>
    /// <exception cref="InvalidDataException">None is; the message names those that are known.</exception>
    public static CheckpointFamily FamilyOf(ConfigJson config, IReadOnlyCollection<string> tensors)
    {
        foreach (var family in All.SelectMany(architecture => architecture.Families))
            if (family.Matches(config, tensors)) return family;
        string found = config.Has("model_type") ? $"model_type \"{config.String("model_type")}\" is not known" : "the architecture could not be told";
        throw new InvalidDataException(
            $"{config.Source}: {found}. Known: {string.Join(", ", All.SelectMany(architecture => architecture.Families).Select(family => family.Name))}.");
    }
}
