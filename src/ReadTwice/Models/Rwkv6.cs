using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Sizes of RWKV-6's time mix.</summary>
/// <param name="D">Model width.</param>
/// <param name="H">Heads.</param>
/// <param name="K">Width of a key.</param>
/// <param name="V">Width of a value.</param>
/// <param name="NormEpsilon">ε of the norm over each head's output.</param>
public sealed record Rwkv6Config(long D, long H, long K, long V, double NormEpsilon)
{
    /// <summary>Rank of the projection that sets the five shares of the token before, where nothing is stored.</summary>
    public long MixRank { get; init; } = 32;

    /// <summary>Rank of the projection that sets the decay, where nothing is stored.</summary>
    public long DecayRank { get; init; } = 64;
}

/// <summary>The time mix of RWKV-6 (arXiv 2404.05892): each token sets how far every key channel fades, and what it takes from the token before.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is recurrent [B, H, K, V] and shift_attn [B, D].</remarks>
public sealed class Rwkv6TimeMix : SequenceMixer
{
    private readonly Rwkv6Config config;
    private readonly long R;
    private readonly Parameter mix;
    private readonly Linear mixDown;
    private readonly Parameter mixUp;
    private readonly Parameter mixBias;
    private readonly Linear receptance;
    private readonly Linear key;
    private readonly Linear value;
    private readonly Linear gate;
    private readonly LowRank decay;
    private readonly Parameter bonus;
    private readonly HeadNorm norm;
    private readonly Linear output;

    /// <summary>Takes x_proj, x_bias, r_proj, k_proj, v_proj, g_proj, w_proj, bonus, g_norm and o_proj from the source.</summary>
    public Rwkv6TimeMix(Rwkv6Config config, WeightSource weights)
    {
        this.config = config;
        var (D, H, K, V, epsilon) = config;
        R = weights.SizeOf("x_proj.2.weight", 1, 5 * config.MixRank) / 5;
        mix = weights.Vector("x_proj.0.mu", D, TokenShift.Shares(D));
        mixDown = weights.Linear("x_proj.0.linear", D, 5 * R);
        mixUp = weights.Matrix("x_proj.2.weight", D, 5 * R);
        mixBias = weights.Tensor("x_bias", [5, D], Init.Values(() => (Integers(0, D).to(ScalarType.Float32) / Number(D)).neg().Plus(1).expand(5, D)));
        receptance = weights.Linear("r_proj.linear", D, H * K);
        key = weights.Linear("k_proj.linear", D, H * K);
        value = weights.Linear("v_proj.linear", D, H * V);
        gate = weights.Linear("g_proj.linear", D, H * V);
        decay = new(weights, "w_proj.linear.lora.0", "w_proj.linear.lora.2", D, config.DecayRank, H * K, x => x.tanh(),
            Init.Values(() => linspace(-6, -1, H * K)));
        bonus = weights.Tensor("bonus", [H, K]);
        norm = new(weights.Vector("g_norm.weight", H * V, Init.Ones), weights.Vector("g_norm.bias", H * V), H, epsilon);
        output = weights.Linear("o_proj", H * V, D);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override LayerState NewState(long B) => new()
    {
        ["recurrent"] = zeros(B, config.H, config.K, config.V),
        ["shift_attn"] = zeros(B, config.D),
    };

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var shift = TokenShift.Read(x, pass, "shift_attn");
        var inner = mixDown.call(shift.Mix(mix)).tanh();                                       // [B, T, 5 R]
        Tensor Mixed(int i) => shift.Mix(Ops.Linear(inner.narrow(2, i * R, R), mixUp.narrow(1, i * R, R), null).Plus(mixBias[i]));
        Tensor Heads(Tensor y) => y.unflatten(2, [config.H, -1]);

        var r = Heads(receptance.call(Mixed(0)));
        var w = Heads(-decay.call(Mixed(1)).exp());
        var k = Heads(key.call(Mixed(2)));
        var v = Heads(value.call(Mixed(3)));
        var g = gate.call(Mixed(4));
        (var o, pass.State["recurrent"]) = Ops.Rwkv6(r, k, v, w, bonus, pass.State["recurrent"]);
        return output.call(Ops.SwiGlu(norm.call(o.flatten(2)), g)).MoveToOuterDisposeScope();
    }
}

/// <summary>The published forms of RWKV-6.</summary>
public static class Rwkv6
{
    private const double OfficialNormEpsilon = 64e-5;

    /// <summary>fla-org's form, with softmax attention in some layers where the config asks for it.</summary>
    public static readonly CheckpointFamily FlaOrg = new(
        "fla RWKV-6", (config, _) => config.String("model_type", "") == "rwkv6", BuildFla,
        [
            ("model.layers.{i}.ffn.key.mu", "blocks.{i}.channelMix.keyMix"),
            ("model.layers.{i}.ffn.key.linear.", "blocks.{i}.channelMix.key."),
            ("model.layers.{i}.ffn.receptance.mu", "blocks.{i}.channelMix.receptanceMix"),
            ("model.layers.{i}.ffn.receptance.linear.", "blocks.{i}.channelMix.receptance."),
            .. RwkvFrame.FlaNames,
        ])
    {
        Example = """
            {
              "model_type": "rwkv6", "hidden_size": 32, "num_hidden_layers": 3, "vocab_size": 96, "num_heads": 2, "expand_k": 0.5,
              "proj_low_rank_dim": 4, "gate_low_rank_dim": 6, "attn": { "layers": [1], "num_heads": 4, "num_kv_heads": 2, "window_size": 9 }
            }
            """,
    };

    /// <summary>The authors' own files, which come without a config.</summary>
    public static readonly CheckpointFamily Official = new(
        "official RWKV-6",
        (config, tensors) => !config.Has("model_type") && (config.String("my_testing", "") == "x060" || tensors.Contains("blocks.0.att.time_maa_x")), BuildOfficial,
        [
            ("blocks.{i}.att.time_maa_x", "blocks.{i}.mixer.x_proj.0.mu"),
            ("blocks.{i}.att.time_maa_w1", "blocks.{i}.mixer.x_proj.0.linear.weight"),
            ("blocks.{i}.att.time_maa_w2", "blocks.{i}.mixer.x_proj.2.weight"),
            ("blocks.{i}.att.time_maa_rwkvg", "blocks.{i}.mixer.x_bias"),
            ("blocks.{i}.att.time_decay_w1", "blocks.{i}.mixer.w_proj.linear.lora.0.weight"),
            ("blocks.{i}.att.time_decay_w2", "blocks.{i}.mixer.w_proj.linear.lora.2.weight"),
            ("blocks.{i}.att.time_decay", "blocks.{i}.mixer.w_proj.linear.lora.2.bias"),
            ("blocks.{i}.att.time_faaaa", "blocks.{i}.mixer.bonus"),
            ("blocks.{i}.att.receptance.", "blocks.{i}.mixer.r_proj.linear."),
            ("blocks.{i}.att.key.", "blocks.{i}.mixer.k_proj.linear."),
            ("blocks.{i}.att.value.", "blocks.{i}.mixer.v_proj.linear."),
            ("blocks.{i}.att.gate.", "blocks.{i}.mixer.g_proj.linear."),
            ("blocks.{i}.ffn.time_maa_k", "blocks.{i}.channelMix.keyMix"),
            ("blocks.{i}.ffn.time_maa_r", "blocks.{i}.channelMix.receptanceMix"),
            .. RwkvFrame.OfficialNames,
        ])
    {
        Adapt = (_, tensors) => FromOfficial(tensors),
        Example = """{ "my_testing": "x060", "n_embd": 32, "n_layer": 2, "head_size": 8, "vocab_size": 96 }""",
    };

    private static LanguageModel BuildFla(ConfigJson config, WeightSource weights)
    {
        long D = Fla.Width(config), H = config.Size("num_heads", 4);
        var mixer = new Rwkv6Config(
            D, H,
            Fla.Part(Fla.Expanded(config, "expand_k", 0.5), "hidden_size · expand_k", H, "num_heads"),
            Fla.Part(Fla.Expanded(config, "expand_v", 1), "hidden_size · expand_v", H, "num_heads"),
            config.Double("norm_eps", 1e-5))
        {
            MixRank = config.Size("proj_low_rank_dim", 32),
            DecayRank = config.Size("gate_low_rank_dim", 64),
        };
        return RwkvFrame.FromFla(config, weights, "rwkv6", 3.5, gated: true, (i, w) =>
            Fla.Attention(config, i) is { } attention ? Fla.Attend(attention, w, D, readsRopeTheta: true) : new Rwkv6TimeMix(mixer, w));
    }

    private static LanguageModel BuildOfficial(ConfigJson config, WeightSource weights) => RwkvFrame.FromOfficial(
        config, weights, "rwkv6", "bonus", gated: true, (_, w, sizes) => new Rwkv6TimeMix(new(sizes.D, sizes.H, sizes.N, sizes.N, OfficialNormEpsilon), w));

    // The authors keep the five shares of the token before in the order w, k, v, r, g, their matrices as [.., inputs, outputs].
    private static void FromOfficial(IDictionary<string, Tensor> tensors)
    {
        const string End = ".att.time_maa_x";
        RwkvFrame.Flatten(tensors, ".att.time_maa_x", ".att.time_decay", ".ffn.time_maa_k", ".ffn.time_maa_r");
        RwkvFrame.Transpose(tensors, ".att.time_decay_w1", ".att.time_decay_w2");
        using var order = tensor(new long[] { 3, 0, 1, 2, 4 });
        foreach (string name in tensors.Keys.Where(name => name.EndsWith(End, StringComparison.Ordinal)).ToArray())
        {
            string mix = name[..^1];
            if (tensors.TryGetValue(mix + "w1", out var down) && down.dim() == 2 && down.size(1) % 5 == 0)
                tensors[mix + "w1"] = down.unflatten(1, [5, down.size(1) / 5]).index_select(1, order).flatten(1).t();
            if (tensors.TryGetValue(mix + "w2", out var up) && up.dim() == 3 && up.size(0) == 5)
                tensors[mix + "w2"] = up.index_select(0, order).permute(2, 0, 1).flatten(1);
            Tensor[] shares = [.. "rwkvg".Where(c => tensors.ContainsKey(mix + c)).Select(c => tensors[mix + c])];
            if (shares.Length < 5 || shares.Any(share => !share.shape.SequenceEqual(shares[0].shape) || share.dtype != shares[0].dtype)) continue;
            foreach (char c in "rwkvg") tensors.Remove(mix + c);
            tensors[mix + "rwkvg"] = stack([.. shares.Select(share => share.flatten())]);
        }
    }
}
