using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>Sizes of RWKV-7's time mix.</summary>
/// <param name="D">Model width.</param>
/// <param name="H">Heads.</param>
/// <param name="K">Width of a key.</param>
/// <param name="V">Width of a value.</param>
/// <param name="NormEpsilon">ε of the norm over each head's output.</param>
public sealed record Rwkv7Config(long D, long H, long K, long V, double NormEpsilon)
{
    /// <summary>Added to the squared length of a key before it is divided by its root; 0 where the root is at least 1e-12 instead.</summary>
    public double KeyEpsilon { get; init; }

    /// <summary>Rank of the projection that sets the decay, where nothing is stored.</summary>
    public long DecayRank { get; init; } = 64;

    /// <summary>Rank of the projection that sets the learning rates, where nothing is stored.</summary>
    public long RateRank { get; init; } = 64;

    /// <summary>Rank of the projection that sets the share of the first layer's values, where nothing is stored.</summary>
    public long ValueRank { get; init; } = 16;

    /// <summary>Rank of the output gate, where nothing is stored.</summary>
    public long GateRank { get; init; } = 128;
}

/// <summary>The time mix of RWKV-7 (arXiv 2503.14456): a delta rule with a decay and a learning rate for each key channel and token.</summary>
/// <remarks>
/// [B, T, D] -> [B, T, D]. The state is recurrent [B, H, K, V] and shift_attn [B, D]. The first layer leaves its values to the later
/// ones, which take a share of them.
/// </remarks>
public sealed class Rwkv7TimeMix : SequenceMixer
{
    private const string FirstValues = "v_first";

    private readonly Rwkv7Config config;
    private readonly Parameter x_r;
    private readonly Parameter x_w;
    private readonly Parameter x_k;
    private readonly Parameter x_v;
    private readonly Parameter x_a;
    private readonly Parameter x_g;
    private readonly Parameter k_k;
    private readonly Parameter k_a;
    private readonly Parameter r_k;
    private readonly Linear r_proj;
    private readonly Linear k_proj;
    private readonly Linear v_proj;
    private readonly LowRank w_lora;
    private readonly LowRank a_lora;
    private readonly LowRank? v_lora;
    private readonly LowRank g_lora;
    private readonly HeadNorm g_norm;
    private readonly Linear o_proj;

    /// <summary>Takes the parameters of these names from the source; the first layer has no v_lora.</summary>
    public Rwkv7TimeMix(Rwkv7Config config, WeightSource weights, bool first)
    {
        this.config = config;
        var (D, H, K, V, epsilon) = config;
        Parameter Share(string name) => weights.Tensor(name, [1, 1, D], TokenShift.Shares(D));
        (x_r, x_w, x_k) = (Share(nameof(x_r)), Share(nameof(x_w)), Share(nameof(x_k)));
        (x_v, x_a, x_g) = (Share(nameof(x_v)), Share(nameof(x_a)), Share(nameof(x_g)));
        k_k = weights.Vector(nameof(k_k), H * K, Init.Values(() => full(H * K, Number(0.85f))));
        k_a = weights.Vector(nameof(k_a), H * K, Init.Ones);
        r_k = weights.Tensor(nameof(r_k), [H, K]);
        r_proj = weights.Linear(nameof(r_proj), D, H * K);
        k_proj = weights.Linear(nameof(k_proj), D, H * K);
        v_proj = weights.Linear(nameof(v_proj), D, H * V);
        LowRank Lora(string name, long R, long outputs, Func<Tensor, Tensor>? activation = null, Init? bias = null) =>
            new(weights.In(name), "lora.0", "lora.2", D, R, outputs, activation, bias);
        w_lora = Lora(nameof(w_lora), config.DecayRank, H * K, x => x.tanh(), Init.Values(() => linspace(-6, 1, H * K)));
        a_lora = Lora(nameof(a_lora), config.RateRank, H * K, bias: Init.Zeros);
        if (!first) v_lora = Lora(nameof(v_lora), config.ValueRank, H * V, bias: Init.Ones);
        g_lora = Lora(nameof(g_lora), config.GateRank, H * V, x => x.sigmoid());
        g_norm = new(weights.Vector("g_norm.weight", H * V, Init.Ones), weights.Vector("g_norm.bias", H * V), H, epsilon);
        o_proj = weights.Linear(nameof(o_proj), H * V, D);
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
        var r = Heads(r_proj.call(shift.Mix(x_r)));
        var w = Heads(w_lora.call(shift.Mix(x_w)).sigmoid() * Number(-Math.Exp(-0.5)));
        var k = k_proj.call(shift.Mix(x_k));
        var v = Heads(Values(shift.Mix(x_v), pass));
        var a = a_lora.call(shift.Mix(x_a)).sigmoid();
        var gate = g_lora.call(shift.Mix(x_g));

        var removed = Unit(Heads(k * k_k));
        var written = Heads(k * ((a - Number(1)) * k_a).Plus(1));
        (var o, pass.State["recurrent"]) = Ops.Rwkv7(r, w, written, v, -removed, removed * Heads(a), pass.State["recurrent"]);
        var y = g_norm.call(o.flatten(2)).Plus(((r * written * r_k).sum(-1, keepdim: true) * v).flatten(2));
        return o_proj.call(y * gate).MoveToOuterDisposeScope();
    }

    private Tensor Values(Tensor x, Pass pass)
    {
        var v = v_proj.call(x);
        if (v_lora is not null) return v.Plus((pass.Shared![FirstValues] - v) * v_lora.call(x).sigmoid());
        if (pass.Shared is { } shared) shared[FirstValues] = v.alias();
        return v;
    }

    private Tensor Unit(Tensor k)
    {
        var square = k.pow(Number(2)).sum(-1, keepdim: true);
        return k * (config.KeyEpsilon > 0 ? square.Plus(config.KeyEpsilon) : square.clamp_min(Number(1e-24))).rsqrt();
    }

    private Tensor Heads(Tensor x) => x.unflatten(2, [config.H, -1]);
}

/// <summary>The published forms of RWKV-7.</summary>
public static class Rwkv7
{
    /// <summary>fla-org's form.</summary>
    public static readonly CheckpointFamily FlaOrg = new(
        "fla RWKV-7", (config, _) => config.String("model_type", "") == "rwkv7", BuildFla,
        [("model.layers.{i}.ffn.x_k", "blocks.{i}.channelMix.keyMix"), .. RwkvFrame.FlaNames])
    {
        Adapt = (_, tensors) => SplitShares(tensors),
        Example = """
            {
              "model_type": "rwkv7", "hidden_size": 32, "num_hidden_layers": 3, "vocab_size": 96, "head_dim": 8,
              "decay_low_rank_dim": 6, "gate_low_rank_dim": 8, "a_low_rank_dim": 4, "v_low_rank_dim": 4, "value_dim": [48, 48, 48]
            }
            """,
    };

    /// <summary>The authors' own files, which come without a config.</summary>
    public static readonly CheckpointFamily Official = new(
        "official RWKV-7",
        (config, tensors) => !config.Has("model_type") && (config.String("my_testing", "") == "x070" || tensors.Contains("blocks.0.att.r_k")), BuildOfficial,
        [
            ("blocks.{i}.att.receptance.", "blocks.{i}.mixer.r_proj."),
            ("blocks.{i}.att.key.", "blocks.{i}.mixer.k_proj."),
            ("blocks.{i}.att.value.", "blocks.{i}.mixer.v_proj."),
            .. "wavg".SelectMany(c => new[]
            {
                ($"blocks.{{i}}.att.{c}0", $"blocks.{{i}}.mixer.{c}_lora.lora.2.bias"),
                ($"blocks.{{i}}.att.{c}1", $"blocks.{{i}}.mixer.{c}_lora.lora.0.weight"),
                ($"blocks.{{i}}.att.{c}2", $"blocks.{{i}}.mixer.{c}_lora.lora.2.weight"),
            }),
            .. "rwkvag".Select(c => ($"blocks.{{i}}.att.x_{c}", $"blocks.{{i}}.mixer.x_{c}")),
            .. new[] { "k_k", "k_a", "r_k" }.Select(name => ($"blocks.{{i}}.att.{name}", $"blocks.{{i}}.mixer.{name}")),
            ("blocks.{i}.ffn.x_k", "blocks.{i}.channelMix.keyMix"),
            .. RwkvFrame.OfficialNames,
        ])
    {
        Adapt = (_, tensors) =>
        {
            RwkvFrame.Flatten(tensors, ".att.w0", ".att.a0", ".att.v0", ".att.k_k", ".att.k_a", ".ffn.x_k");
            RwkvFrame.Transpose(tensors, "wavg".SelectMany(c => new[] { $".att.{c}1", $".att.{c}2" }));
        },
        Example = """{ "my_testing": "x070", "n_embd": 32, "n_layer": 3, "head_size": 8, "vocab_size": 96 }""",
    };

    private static LanguageModel BuildFla(ConfigJson config, WeightSource weights)
    {
        if (config.Has("attn"))
            throw new InvalidDataException($"{config.Where("attn")} asks for softmax attention in some layers; RWKV-7 has none. Remove the key or use another model.");
        long D = Fla.Width(config), heads = config.Long("num_heads", 0);
        // Converted files carry a number of heads that is not theirs: the width of a head decides.
        long K = weights.SizeOf("blocks.0.mixer.r_k", 1, config.Size("head_dim", config.IsNull("head_dim") && heads > 0 ? D / heads : 64));
        long H = Fla.Part(D, "hidden_size", K, "head_dim");
        var values = config.Longs("value_dim");
        double f = K / 64.0;
        long Rank(string key, long otherwise, double c, double factor) => config.Size(
            key, config.IsNull(key) ? Math.Max(32, 32 * (long)Math.Round(c * Math.Sqrt(D) * factor / 32, MidpointRounding.ToEven)) : otherwise);
        var layer = new Rwkv7Config(D, H, K, K, K * config.Double("norm_eps", 1e-5))
        {
            KeyEpsilon = config.Bool("fuse_norm", true) ? 1e-6 : 0,
            DecayRank = Rank("decay_low_rank_dim", 64, 2.5, f),
            RateRank = Rank("a_low_rank_dim", 64, 2.5, f),
            ValueRank = Rank("v_low_rank_dim", 16, 1.7, f),
            GateRank = Rank("gate_low_rank_dim", 128, 5, 1),
        };
        return RwkvFrame.FromFla(config, weights, "rwkv7", 4, gated: false, (i, w) => new Rwkv7TimeMix(
            layer with { V = ValueWidth(values, i, D, H, config) }, w, first: i == 0));
    }

    // Values are as wide in every layer, or the first layer's could not stand in for a later one's.
    private static long ValueWidth(IReadOnlyList<long>? values, int layer, long D, long H, ConfigJson config)
    {
        if (values is null) return D / H;
        if (layer >= values.Count || values[layer] != values[0])
            throw new InvalidDataException(
                $"{config.Where("value_dim")} holds {string.Join(", ", values)}; one width for all layers is needed, given for each of them.");
        return Fla.Part(values[0], "value_dim", H, "the number of heads");
    }

    private static LanguageModel BuildOfficial(ConfigJson config, WeightSource weights)
    {
        foreach (string unused in (string[])["lora.0.weight", "lora.2.weight", "lora.2.bias"]) weights.Skip($"blocks.0.mixer.v_lora.{unused}");
        return RwkvFrame.FromOfficial(config, weights, "rwkv7", "r_k", gated: false, (i, w, sizes) =>
            new Rwkv7TimeMix(new(sizes.D, sizes.H, sizes.N, sizes.N, 64e-5), w, first: i == 0));
    }

    // Files of January 2025 hold the six shares of the token before as one.
    private static void SplitShares(IDictionary<string, Tensor> tensors)
    {
        const string End = ".attn.x_x";
        foreach (string name in tensors.Keys.Where(name => name.EndsWith(End, StringComparison.Ordinal)).ToArray())
        {
            var shares = tensors[name];
            if (shares.dim() != 2 || shares.size(0) != 6) continue;
            tensors.Remove(name);
            for (int i = 0; i < 6; i++) tensors[$"{name[..^1]}{"rwkvag"[i]}"] = shares[i].view(1, 1, -1);
        }
    }
}
