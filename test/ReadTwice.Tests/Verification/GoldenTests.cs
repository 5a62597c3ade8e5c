using ReadTwice.Verification;

namespace ReadTwice.Tests.Verification;

/// <summary>What the authors' code computes, for every fixture at hand.</summary>
public sealed class GoldenTests
{
    private static readonly string[] families =
    [
        "jrt", "hazy-based", "hazy-attn", "hazy-mamba", "mamba-ssm", "mamba-hf", "falcon-mamba", "llama", "gpt-neox",
        "mamba2-ssm", "mamba2-hf", "mamba2", "longhorn", "jamba", "bamba", "falcon-h1", "recurrent-gemma",
        "rwkv4", "rwkv6", "rwkv7", "rwkv6-official", "rwkv7-official",
        "delta_net", "gated_deltanet", "kda", "comba",
        "gla", "hybrid", "retnet", "hgrn", "hgrn2", "gsa", "lightnet", "linear_attn", "based-fla", "rebased-fla",
    ];

    private static readonly string[] operators =
    [
        "based", "based_init", "prefix_linear_attn", "selective_scan", "short_conv", "ssd", "longhorn",
        "gla", "simple_gla", "linear_attn", "retention", "hgrn", "gsa", "rebased",
        "delta_rule", "gated_delta_rule", "kda", "comba", "rwkv6", "rwkv7",
    ];

    public static TheoryData<string> Models =>
        [.. families.SelectMany(family => Shared.Find("golden", family) is { } folder
            ? Directory.GetDirectories(folder).Order().Select(each => Path.Combine(family, Path.GetFileName(each)))
            : [Path.Combine(family, "tiny-a")])];

    public static TheoryData<string> Operators => [.. operators.Select(name => $"{name}.safetensors")];

    /// <summary>The fixtures that lie in the repository, so that every clone proves itself.</summary>
    public static TheoryData<string> Kept => [.. Directory.GetFileSystemEntries(KeptFolder).Select(path => Path.GetFileName(path)).Order()];

    private static string KeptFolder => Path.Combine(AppContext.BaseDirectory, "Golden");

    [Theory, MemberData(nameof(Kept))]
    public void A_kept_fixture_passes(string name) => Passes(Path.Combine(KeptFolder, name));

    [Theory, MemberData(nameof(Models))]
    public void A_checkpoint_gives_the_logits_and_states_of_its_authors_code(string folder)
    {
        Passes(Shared.Path("golden", folder));
    }

    [Theory, MemberData(nameof(Operators))]
    public void An_operator_gives_the_outputs_states_and_gradients_of_its_authors_code(string file)
    {
        Passes(Shared.Path("golden", "ops", file));
    }

    private static void Passes(string path)
    {
        Native.Libtorch.Threads = 1;
        var results = Fixtures.Run(path);
        Assert.NotEmpty(results);
        Assert.All(results, result => Assert.True(result.Passed, $"{result}"));
    }
}
