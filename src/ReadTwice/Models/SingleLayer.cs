using ReadTwice.Checkpoints;

namespace ReadTwice.Models;

/// <summary>A mixer that is published without a model around it.</summary>
/// <param name="Name">What its config calls it, under "layer".</param>
/// <param name="Build">Makes it from its config, taking parameters by the authors' names.</param>
/// <param name="Parameters">The names of its parameters: the authors' and ours; a name that ends in a dot stands for all that begin so.</param>
public sealed record SingleLayer(
    string Name, Func<ConfigJson, WeightSource, SequenceMixer> Build, IReadOnlyList<(string Theirs, string Ours)> Parameters)
{
    private static readonly (string, string)[] projections = [("q_proj.", "query."), ("k_proj.", "key."), ("v_proj.", "value."), ("o_proj.", "output.")];

    /// <summary>Every single layer that is known.</summary>
    public static IReadOnlyList<SingleLayer> All { get; } =
    [
        new("BasedLinearAttention", BuildBased, projections),
        new("ReBasedLinearAttention", BuildReBased, [.. projections, ("feature_map.gamma", "featureMap.weight"), ("feature_map.beta", "featureMap.bias")]),
    ];

    // The authors' parallel mode leaves the scale out, which makes another function of the same weights.
    private static TaylorLinearAttention BuildBased(ConfigJson config, WeightSource weights)
    {
        var (D, H, V) = Sizes(config, heads: 12);
        long K = config.Size("feature_dim", 16);
        double scale = IsParallel(config) ? 1 : Math.Pow(K, -0.5);
        return new(new(D, H, K, V, scale, config.Double("eps", 1e-12)),
            weights.As(("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"), ("output", "o_proj")));
    }

    // The other modes divide as plain linear attention does, with an ε of its own.
    private static ReBasedMixer BuildReBased(ConfigJson config, WeightSource weights)
    {
        var (D, H, _) = Sizes(config, heads: 16);
        foreach (string key in (string[])["use_gamma", "use_beta", "normalize"])
            if (!config.Bool(key, true)) throw new InvalidDataException($"{config.Where(key)} is false; ReBased is known with its norm, gamma and beta only.");
        return new(D, H, config.Size("feature_dim", 16), IsParallel(config) ? config.Double("eps", 1e-5) : 1e-10, weights);
    }

    private static bool IsParallel(ConfigJson config) => config.String("mode", "parallel") == "parallel";

    private static (long D, long H, long V) Sizes(ConfigJson config, long heads)
    {
        long D = config.Size("hidden_size"), H = config.Size("num_heads", heads), keyHeads = config.Size("num_key_value_heads", heads);
        if (H != keyHeads) throw new InvalidDataException($"{config.Where("num_key_value_heads")} is {keyHeads}; as many as num_heads, {H}, are needed.");
        if (!config.Bool("causal", true)) throw new InvalidDataException($"{config.Where("causal")} is false; only causal attention has a state.");
        return (D, H, Fla.Part(D, "hidden_size", H, "num_heads"));
    }
}
