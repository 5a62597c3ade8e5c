using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>The frame of RWKV-6 and RWKV-7, from fla-org's configs or, for the authors' own files, from the tensors alone.</summary>
internal static class RwkvFrame
{
    /// <summary>fla-org's names of what both have in common.</summary>
    public static IReadOnlyList<(string Theirs, string Ours)> FlaNames { get; } =
    [
        ("model.embeddings.weight", "embedding.weight"),
        ("model.layers.{i}.pre_norm.", "blocks.{i}.preNorm."),
        ("model.layers.{i}.attn_norm.", "blocks.{i}.norm."),
        ("model.layers.{i}.attn.", "blocks.{i}.mixer."),
        ("model.layers.{i}.ffn_norm.", "blocks.{i}.norm2."),
        ("model.layers.{i}.ffn.", "blocks.{i}.channelMix."),
        ("model.norm.", "norm."),
        ("lm_head.weight", "head.weight"),
    ];

    /// <summary>The authors' names of what both have in common.</summary>
    public static IReadOnlyList<(string Theirs, string Ours)> OfficialNames { get; } =
    [
        ("emb.weight", "embedding.weight"),
        ("blocks.{i}.ln0.", "blocks.{i}.preNorm."),
        ("blocks.{i}.ln1.", "blocks.{i}.norm."),
        ("blocks.{i}.att.ln_x.", "blocks.{i}.mixer.g_norm."),
        ("blocks.{i}.att.output.", "blocks.{i}.mixer.o_proj."),
        ("blocks.{i}.ln2.", "blocks.{i}.norm2."),
        ("blocks.{i}.ffn.", "blocks.{i}.channelMix."),
        ("ln_out.", "norm."),
        ("head.weight", "head.weight"),
    ];

    /// <summary>Builds the frame from fla-org's config.</summary>
    /// <param name="config">config.json.</param>
    /// <param name="weights">Where parameters come from, at the model.</param>
    /// <param name="architecture">The architecture's name.</param>
    /// <param name="ratio">Width of the channel mix in terms of the model's where the config does not say.</param>
    /// <param name="gated">Whether the channel mix has a receptance.</param>
    /// <param name="mixer">Makes the mixer of a layer.</param>
    public static LanguageModel FromFla(
        ConfigJson config, WeightSource weights, string architecture, double ratio, bool gated, Func<int, WeightSource, SequenceMixer> mixer)
    {
        Fla.RefuseDepthAttention(config);
        long D = Fla.Width(config);
        long width = config.Size("intermediate_size", ((long)(D * config.Double("hidden_ratio", ratio)) + 31) / 32 * 32);
        double epsilon = config.Double("norm_eps", 1e-5);
        bool bias = config.Bool("norm_bias", true), first = config.Bool("norm_first", true);
        string activation = config.String("hidden_act", "sqrelu");
        var blocks = new List<SequenceModule>();
        for (int i = 0; i < config.Size("num_hidden_layers", 24); i++)
        {
            var w = weights.In($"blocks.{i}");
            blocks.Add(new RwkvBlock(
                i == 0 && first ? w.LayerNorm("preNorm", D, epsilon, bias) : null,
                w.LayerNorm("norm", D, epsilon, bias),
                mixer(i, w.In("mixer")),
                w.LayerNorm("norm2", D, epsilon, bias),
                new RwkvChannelMix(w.In("channelMix"), D, width, activation, gated: gated)));
        }
        var frame = new LanguageModelConfig(D, config.Size("vocab_size", 32000))
        {
            Architecture = architecture,
            Tied = config.Bool("tie_word_embeddings", false),
        };
        return new(frame, weights, blocks, weights.LayerNorm("norm", D, epsilon, bias));
    }

    /// <summary>Builds the frame of the authors' files: shapes give all sizes, and what their training takes as arguments where nothing is stored.</summary>
    /// <param name="config">Empty, or n_layer, n_embd, head_size and vocab_size.</param>
    /// <param name="weights">Where parameters come from, at the model.</param>
    /// <param name="architecture">The architecture's name.</param>
    /// <param name="heads">The parameter of a mixer that is [heads, width of a head].</param>
    /// <param name="gated">Whether the channel mix has a receptance.</param>
    /// <param name="mixer">Makes the mixer of a layer from the model's width, the heads and their width.</param>
    public static LanguageModel FromOfficial(
        ConfigJson config, WeightSource weights, string architecture, string heads, bool gated,
        Func<int, WeightSource, (long D, long H, long N), SequenceMixer> mixer)
    {
        const double Epsilon = 1e-5;
        long D = weights.SizeOf("embedding.weight", 1, config.Size("n_embd", 768));
        long N = weights.SizeOf($"blocks.0.mixer.{heads}", 1, config.Size("head_size", 64));
        if (N < 1 || D < 1 || D % N != 0)
            throw new InvalidDataException($"emb.weight is {D} wide and a head {N}; the one must be a multiple of the other. Check that the file is whole.");
        var blocks = new List<SequenceModule>();
        long layers = 0;
        while (weights.Has($"blocks.{layers}.norm.weight") || weights.Has($"blocks.{layers}.mixer.o_proj.weight")) layers++;
        if (layers == 0) layers = config.Size("n_layer", 12);
        for (int i = 0; i < layers; i++)
        {
            var w = weights.In($"blocks.{i}");
            long width = w.SizeOf("channelMix.key.weight", 0, gated ? 7 * D / 2 / 32 * 32 : 4 * D);
            blocks.Add(new RwkvBlock(
                i == 0 ? w.LayerNorm("preNorm", D, Epsilon) : null,
                w.LayerNorm("norm", D, Epsilon),
                mixer(i, w.In("mixer"), (D, D / N, N)),
                w.LayerNorm("norm2", D, Epsilon),
                new RwkvChannelMix(w.In("channelMix"), D, width, "sqrelu", gated: gated)));
        }
        var frame = new LanguageModelConfig(D, weights.SizeOf("embedding.weight", 0, config.Size("vocab_size", 65536))) { Architecture = architecture };
        return new(frame, weights, blocks, weights.LayerNorm("norm", D, Epsilon));
    }

    /// <summary>Makes vectors of what the authors store as [1, 1, n].</summary>
    public static void Flatten(IDictionary<string, Tensor> tensors, params IEnumerable<string> ends)
    {
        foreach (var (name, tensor) in Ending(tensors, ends))
            if (tensor.dim() == 3 && tensor.size(0) == 1 && tensor.size(1) == 1) tensors[name] = tensor.flatten();
    }

    /// <summary>Turns matrices that the authors store as [inputs, outputs].</summary>
    public static void Transpose(IDictionary<string, Tensor> tensors, params IEnumerable<string> ends)
    {
        foreach (var (name, tensor) in Ending(tensors, ends))
            if (tensor.dim() == 2) tensors[name] = tensor.t();
    }

    private static KeyValuePair<string, Tensor>[] Ending(IDictionary<string, Tensor> tensors, IEnumerable<string> ends) =>
        [.. tensors.Where(entry => ends.Any(end => entry.Key.EndsWith(end, StringComparison.Ordinal)))];
}
