using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>How queries, keys and values lie in the projections.</summary>
public enum QkvLayout
{
    /// <summary>A matrix each: q, k, v.</summary>
    Separate,

    /// <summary>One matrix: all queries, then all keys, then all values.</summary>
    Fused,

    /// <summary>One matrix: for each head its query, key and value.</summary>
    PerHead,
}

/// <summary>Softmax attention with its projections, over all that was read or over a window.</summary>
/// <param name="D">Model width.</param>
/// <param name="Heads">Sizes of the heads.</param>
/// <param name="Layout">How the projections lie.</param>
public sealed record SelfAttentionConfig(long D, AttentionConfig Heads, QkvLayout Layout)
{
    /// <summary>Position embedding.</summary>
    public Rotary Rotary { get; init; } = new(0);

    /// <summary>How many tokens before its own a token sees; null for all.</summary>
    public long? W { get; init; }

    /// <summary>Whether the projections to queries, keys and values have a bias.</summary>
    public bool QkvBias { get; init; }

    /// <summary>Whether the output projection has a bias.</summary>
    public bool OutputBias { get; init; }

    /// <summary>Factor of the keys, before rotary.</summary>
    public double KeyScale { get; init; } = 1;

    /// <summary>Taps of a causal filter over queries, keys and values together, before rotary; 0 for none.</summary>
    public long Taps { get; init; }

    /// <summary>Width of a gated MLP inside the layer, whose result is joined to the heads'; 0 for none.</summary>
    public long MlpWidth { get; init; }
}

/// <summary>Softmax attention, the mixer of the Transformer baselines and of hybrids.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is key and value [B, KeyHeads, N or W, E], and conv where there is a filter.</remarks>
public sealed class SelfAttention : SequenceMixer
{
    private readonly SelfAttentionConfig config;
    private readonly Linear? q;
    private readonly Linear? k;
    private readonly Linear? v;
    private readonly Linear? qkv;
    private readonly ShortConvolution? conv;
    private readonly Linear output;
    private readonly SoftmaxAttention? all;
    private readonly SlidingWindow? window;

    /// <summary>Takes q, k, v or qkv, conv and output from the source.</summary>
    public SelfAttention(SelfAttentionConfig config, WeightSource weights)
    {
        this.config = config;
        var (H, keyHeads, E, _) = config.Heads;
        if (config.Layout == QkvLayout.Separate)
        {
            q = weights.Linear(nameof(q), config.D, H * E, config.QkvBias);
            k = weights.Linear(nameof(k), config.D, keyHeads * E, config.QkvBias);
            v = weights.Linear(nameof(v), config.D, keyHeads * E, config.QkvBias);
        }
        else
        {
            qkv = weights.Linear(nameof(qkv), config.D, (H + 2 * keyHeads) * E + config.MlpWidth, config.QkvBias);
        }
        if (config.Taps > 0) conv = new(weights.In(nameof(conv)), (H + 2 * keyHeads) * E, config.Taps, bias: true);
        output = weights.Linear(nameof(output), H * E + config.MlpWidth / 2, config.D, config.OutputBias);
        if (config.W is { } W) window = new(config.Heads, config.Rotary, W);
        else all = new(config.Heads, config.Rotary);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override long StateBytesPerToken => all is null ? 0 : 2 * config.Heads.KeyHeads * config.Heads.E * sizeof(float);

    /// <inheritdoc/>
    public override string Kind => all is null ? $"SlidingWindow of {config.W}" : "SoftmaxAttention";

    /// <inheritdoc/>
    public override LayerState NewState(long B)
    {
        var state = window?.NewState(B) ?? all!.NewState(B);
        if (conv is not null) state["conv"] = conv.NewState(B);
        return state;
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, Tensor> AsPublished(LayerState state, long position)
    {
        var published = base.AsPublished(state, position).ToDictionary();
        if (window is not null)
            (published["key"], published["value"]) = (Ops.InOrder(state["key"], position), Ops.InOrder(state["value"], position));
        // fla-org keeps them as [B, N, KeyHeads * E].
        published["attn_k"] = published["key"].transpose(1, 2).flatten(2);
        published["attn_v"] = published["value"].transpose(1, 2).flatten(2);
        return published;
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var (queries, keys, values, mlp) = Project(x, pass);
        var o = window?.Read(queries, keys, values, pass) ?? all!.Read(queries, keys, values, pass);
        if (mlp is not null) o = cat([o, mlp], -1);
        return output.call(o).MoveToOuterDisposeScope();
    }

    private (Tensor Q, Tensor K, Tensor V, Tensor? Mlp) Project(Tensor x, Pass pass)
    {
        if (qkv is null) return (q!.call(x), config.KeyScale == 1 ? k!.call(x) : k!.call(x) * Number(config.KeyScale), v!.call(x), null);
        var (H, keyHeads, E, _) = config.Heads;
        var all = qkv.call(x);
        Tensor? mlp = null;
        if (config.MlpWidth > 0)
        {
            var halves = all.narrow(2, all.size(2) - config.MlpWidth, config.MlpWidth).chunk(2, -1);
            mlp = Ops.SwiGlu(halves[0], halves[1]);
            all = all.narrow(2, 0, all.size(2) - config.MlpWidth);
        }
        if (conv is not null)
        {
            if (pass.Mask is { } mask) all = all * mask.unsqueeze(-1);
            (all, pass.State["conv"]) = conv.Read(all, pass.State["conv"]);
        }
        if (config.Layout == QkvLayout.PerHead)
        {
            var heads = all.unflatten(2, [H, 3, E]);
            return (heads.select(3, 0).flatten(2), heads.select(3, 1).flatten(2), heads.select(3, 2).flatten(2), mlp);
        }
        var parts = all.split([H * E, keyHeads * E, keyHeads * E], -1);
        return (parts[0], parts[1], parts[2], mlp);
    }
}

/// <summary>GPT-NeoX's block: attention and MLP read the same stream, each through its own norm, and are added together.</summary>
public sealed class ParallelBlock(nn.Module<Tensor, Tensor> norm, SequenceMixer mixer, nn.Module<Tensor, Tensor> norm2, nn.Module<Tensor, Tensor> mlp)
    : SequenceModule
{
    private readonly nn.Module<Tensor, Tensor> norm = norm;
    private readonly SequenceMixer mixer = mixer;
    private readonly nn.Module<Tensor, Tensor> norm2 = norm2;
    private readonly nn.Module<Tensor, Tensor> mlp = mlp;

    /// <inheritdoc/>
    public override long StateBytesPerToken => mixer.StateBytesPerToken;

    /// <inheritdoc/>
    public override string Kind => mixer.Kind;

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, Tensor> AsPublished(LayerState state, long position) => mixer.AsPublished(state, position);

    /// <inheritdoc/>
    public override LayerState NewState(long B) => mixer.NewState(B);

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        return x.Plus(mixer.call(norm.call(x), pass)).Plus(mlp.call(norm2.call(x))).MoveToOuterDisposeScope();
    }
}

/// <summary>The Transformer baselines in the forms of transformers: Llama and GPT-NeoX.</summary>
public static class Transformer
{
    /// <summary>Llama (arXiv 2302.13971).</summary>
    public static readonly CheckpointFamily Llama = new(
        "transformers Llama", (config, _) => config.String("model_type", "") == "llama", BuildLlama,
        [
            ("model.embed_tokens.weight", "embedding.weight"),
            ("model.layers.{i}.input_layernorm.", "blocks.{i}.norm."),
            ("model.layers.{i}.post_attention_layernorm.", "blocks.{i}.norm2."),
            ("model.layers.{i}.self_attn.q_proj.", "blocks.{i}.mixer.q."),
            ("model.layers.{i}.self_attn.k_proj.", "blocks.{i}.mixer.k."),
            ("model.layers.{i}.self_attn.v_proj.", "blocks.{i}.mixer.v."),
            ("model.layers.{i}.self_attn.o_proj.", "blocks.{i}.mixer.output."),
            ("model.layers.{i}.mlp.gate_proj.", "blocks.{i}.mlp.gate."),
            ("model.layers.{i}.mlp.up_proj.", "blocks.{i}.mlp.up."),
            ("model.layers.{i}.mlp.down_proj.", "blocks.{i}.mlp.down."),
            ("model.norm.weight", "norm.weight"),
            ("lm_head.weight", "head.weight"),
        ])
    {
        Example = """{ "model_type": "llama", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 40, "vocab_size": 96 }""",
    };

    /// <summary>GPT-NeoX and Pythia (arXiv 2204.06745).</summary>
    public static readonly CheckpointFamily NeoX = new(
        "transformers GPT-NeoX", (config, _) => config.String("model_type", "") == "gpt_neox", BuildNeoX,
        [
            ("gpt_neox.embed_in.weight", "embedding.weight"),
            ("gpt_neox.layers.{i}.input_layernorm.", "blocks.{i}.norm."),
            ("gpt_neox.layers.{i}.post_attention_layernorm.", "blocks.{i}.norm2."),
            ("gpt_neox.layers.{i}.attention.query_key_value.", "blocks.{i}.mixer.qkv."),
            ("gpt_neox.layers.{i}.attention.dense.", "blocks.{i}.mixer.output."),
            ("gpt_neox.layers.{i}.mlp.dense_h_to_4h.", "blocks.{i}.mlp.fc1."),
            ("gpt_neox.layers.{i}.mlp.dense_4h_to_h.", "blocks.{i}.mlp.fc2."),
            ("gpt_neox.final_layer_norm.", "norm."),
            ("embed_out.weight", "head.weight"),
        ])
    {
        Example = """{ "model_type": "gpt_neox", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40, "vocab_size": 96 }""",
    };

    private static LanguageModel BuildLlama(ConfigJson config, WeightSource weights)
    {
        long D = config.Size("hidden_size", 4096), H = config.Size("num_attention_heads", 32);
        long E = config.Size("head_dim", D / H);
        double epsilon = config.Double("rms_norm_eps", 1e-6);
        var attention = new SelfAttentionConfig(D, AttentionConfig.Of(H, config.Size("num_key_value_heads", H), E), QkvLayout.Separate)
        {
            Rotary = new(
                E, config.Double("rope_theta", 10000), config.Object("rope_scaling"), config.Double("max_position_embeddings", 2048),
                config.Double("original_max_position_embeddings", 0)),
            QkvBias = config.Bool("attention_bias", false),
            OutputBias = config.Bool("attention_bias", false),
        };
        var blocks = Blocks(config.Size("num_hidden_layers", 32), weights, w => new ResidualBlock(
            w.RmsNorm("norm", D, epsilon),
            new SelfAttention(attention, w.In("mixer")),
            w.RmsNorm("norm2", D, epsilon),
            new GatedMlp(w.In("mlp"), D, config.Size("intermediate_size", 11008), config.String("hidden_act", "silu"), config.Bool("mlp_bias", false))));
        return new(
            new(D, config.Size("vocab_size", 32000)) { Architecture = "transformer", Tied = config.Bool("tie_word_embeddings", false) },
            weights, blocks, weights.RmsNorm("norm", D, epsilon));
    }

    private static LanguageModel BuildNeoX(ConfigJson config, WeightSource weights)
    {
        long D = config.Size("hidden_size", 6144), H = config.Size("num_attention_heads", 64), E = D / H;
        double epsilon = config.Double("layer_norm_eps", 1e-5);
        bool bias = config.Bool("attention_bias", true);
        double theta = config.Double("rotary_emb_base", config.Double("rope_theta", 10000));
        long turned = (long)(config.Double("rotary_pct", config.Double("partial_rotary_factor", 0.25)) * E);
        var attention = new SelfAttentionConfig(D, AttentionConfig.Of(H, H, E), QkvLayout.PerHead)
        {
            Rotary = new(turned, theta, config.Object("rope_scaling"), config.Double("max_position_embeddings", 2048)),
            QkvBias = bias,
            OutputBias = bias,
        };
        var blocks = Blocks<SequenceModule>(config.Size("num_hidden_layers", 44), weights, w =>
        {
            var (norm, norm2) = (w.LayerNorm("norm", D, epsilon), w.LayerNorm("norm2", D, epsilon));
            var mixer = new SelfAttention(attention, w.In("mixer"));
            var mlp = new Mlp(w.In("mlp"), D, config.Size("intermediate_size", 24576), config.String("hidden_act", "gelu"));
            return config.Bool("use_parallel_residual", true) ? new ParallelBlock(norm, mixer, norm2, mlp) : new ResidualBlock(norm, mixer, norm2, mlp);
        });
        return new(
            new(D, config.Size("vocab_size", 50432)) { Architecture = "transformer", Tied = config.Bool("tie_word_embeddings", false) },
            weights, blocks, weights.LayerNorm("norm", D, epsilon));
    }

    /// <summary>Builds blocks, each from its own part of the source.</summary>
    internal static IEnumerable<SequenceModule> Blocks<T>(long layers, WeightSource weights, Func<WeightSource, T> build) where T : SequenceModule
    {
        for (long i = 0; i < layers; i++) yield return build(weights.In($"blocks.{i}"));
    }
}
