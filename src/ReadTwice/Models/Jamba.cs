using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>A mixture of gated MLPs (arXiv 2403.19887): each token passes the few that its router prefers, weighed by how much.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The weights of the chosen are not brought to a sum of one.</remarks>
public sealed class MixtureOfExperts : nn.Module<Tensor, Tensor>
{
    private readonly long chosen;
    private readonly Linear router;
    private readonly ModuleList<GatedMlp> experts;

    /// <summary>Takes router and experts.0, experts.1, .. from the source.</summary>
    public MixtureOfExperts(WeightSource weights, long D, long experts, long chosen, Func<WeightSource, GatedMlp> expert) : base(nameof(MixtureOfExperts))
    {
        if (chosen < 1 || chosen > experts)
            throw new InvalidDataException($"config.json: {chosen} experts a token are to be chosen of {experts}; 1 to {experts} are possible.");
        this.chosen = chosen;
        router = weights.Linear(nameof(router), D, experts);
        this.experts = nn.ModuleList([.. Enumerable.Range(0, (int)experts).Select(i => expert(weights.In($"experts.{i}")))]);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        var tokens = x.flatten(0, 1);                                                          // [B T, D]
        var probability = router.call(tokens).softmax(-1);                                     // [B T, experts]
        var (weights, choice) = probability.topk((int)chosen, -1);
        var weight = zeros_like(probability).scatter(1, choice, weights);
        var sum = zeros_like(tokens);
        for (int i = 0; i < experts.Count; i++)
        {
            var own = weight.select(1, i).nonzero().squeeze(-1);                               // the tokens that chose this expert
            if (own.numel() == 0) continue;
            var y = experts[i].call(tokens.index_select(0, own)) * weight.select(1, i).index_select(0, own).unsqueeze(-1);
            sum = sum.index_add(0, own, y, Number(1));
        }
        return sum.view(x.shape).MoveToOuterDisposeScope();
    }
}

/// <summary>Jamba (arXiv 2403.19887): Mamba layers with norms inside, a few of attention without positions, and mixtures of experts.</summary>
public static class Jamba
{
    /// <summary>transformers Jamba.</summary>
    public static readonly CheckpointFamily Transformers = new(
        "transformers Jamba", (config, _) => config.String("model_type", "") == "jamba", Build, Hybrid.Names)
    {
        Example = """
            {
              "model_type": "jamba", "hidden_size": 24, "num_hidden_layers": 4, "vocab_size": 96, "intermediate_size": 32, "num_attention_heads": 4,
              "num_key_value_heads": 2, "attn_layer_period": 4, "attn_layer_offset": 2, "num_experts": 4, "mamba_d_state": 8, "mamba_proj_bias": true
            }
            """,
    };

    private static LanguageModel Build(ConfigJson config, WeightSource weights)
    {
        long D = config.Size("hidden_size", 4096), width = config.Size("intermediate_size", 14336), experts = config.Size("num_experts", 16);
        double epsilon = config.Double("rms_norm_eps", 1e-6);
        string activation = config.String("hidden_act", "silu");
        var mamba = new MambaConfig(
            D, (long)(config.Double("mamba_expand", 2) * D), config.Size("mamba_d_state", 16), Mamba.Rank(config, "mamba_dt_rank", D))
        {
            Taps = config.Size("mamba_d_conv", 4),
            ConvBias = config.Bool("mamba_conv_bias", true),
            Bias = config.Bool("mamba_proj_bias", false),
            Activation = activation,
            NormEpsilon = epsilon,
            NormWeights = true,
        };
        GatedMlp Mlp(WeightSource w) => Hybrid.Mlp(w, D, width, activation, bias: false);

        var blocks = new List<SequenceModule>();
        for (int i = 0; i < config.Size("num_hidden_layers", 32); i++)
        {
            var w = weights.In($"blocks.{i}");
            blocks.Add(new ResidualBlock(
                w.RmsNorm("norm", D, epsilon),
                Falls(config, "attn_layer", i, 8, 4) ? Hybrid.Attention(config, D, new Rotary(0), w.In("attention")) : new MambaMixer(mamba, w.In("mamba")),
                w.RmsNorm("norm2", D, epsilon),
                experts > 1 && Falls(config, "expert_layer", i, 2, 1)
                    ? new MixtureOfExperts(w.In("mlp"), D, experts, config.Size("num_experts_per_tok", 2), Mlp) : Mlp(w.In("mlp"))));
        }
        return new(
            new(D, config.Size("vocab_size", 65536)) { Architecture = "jamba", Tied = config.Bool("tie_word_embeddings", false) },
            weights, blocks, weights.RmsNorm("norm", D, epsilon));
    }

    // Whether a layer is one of those that come every so many, from an offset on.
    private static bool Falls(ConfigJson config, string kind, long layer, long period, long offset) =>
        layer % config.Size($"{kind}_period", period) == config.Long($"{kind}_offset", offset);
}
