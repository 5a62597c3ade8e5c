using ReadTwice.Checkpoints;
using ReadTwice.Models;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace ReadTwice.Tests.Models;

/// <summary>fla-org's mixers against their equations, one token after the other, in the forms that no golden data covers.</summary>
public sealed class FlaMixerTests : IDisposable
{
    private const int T = 9;
    private const long D = 12;

    private static readonly Dictionary<string, Func<ConfigJson, WeightSource, SequenceMixer>> mixers = new()
    {
        ["gla"] = (config, weights) => new GlaMixer(config, weights),
        ["retnet"] = (config, weights) => new RetNetMixer(config, weights),
        ["gsa"] = (config, weights) => new GsaMixer(config, weights),
        ["hgrn"] = (config, weights) => new HgrnMixer(config, weights, ForgetGate.Bounds(config, weights, 3), 2),
        ["hgrn2"] = (config, weights) => new Hgrn2Mixer(config, weights, ForgetGate.Bounds(config, weights, 3), 2),
        ["linear_attn"] = (config, weights) => new LinearAttentionMixer(config, weights),
        ["lightnet"] = (config, weights) => new LightNetMixer(config, weights),
        ["delta_net"] = (config, weights) => new DeltaNetMixer(config, weights),
        ["gated_deltanet"] = (config, weights) => new GatedDeltaNetMixer(config, weights),
        ["kda"] = (config, weights) => new KdaMixer(config, weights),
        ["comba"] = (config, weights) => new CombaMixer(config, weights),
        ["attn"] = (config, weights) => Fla.Attend(config, weights, D, readsRopeTheta: true),
        ["rwkv6"] = (_, weights) => new Rwkv6TimeMix(new(D, 3, 2, 4, 1e-3) { MixRank = 5, DecayRank = 7 }, weights),
        ["rwkv7"] = (config, weights) => new Rwkv7TimeMix(
            new(D, 3, 2, 4, 1e-3) { DecayRank = 5, RateRank = 2, ValueRank = 3, GateRank = 7, KeyEpsilon = config.Double("key_epsilon", 0) }, weights, first: false),
    };

    private readonly DisposeScope scope = NewDisposeScope();

    public FlaMixerTests() => Native.Libtorch.Threads = 1;

    public static TheoryData<string, string> Forms => new()
    {
        { "gla", """ "num_heads": 6, "num_kv_heads": 2, "expand_k": 0.5, "expand_v": 1.5, "use_short_conv": true, "conv_size": 3, "clamp_min": -0.02, "norm_eps": 0.01 """ },
        { "gla", """ "num_heads": 3, "num_kv_heads": 1, "feature_map": "relu", "fuse_norm": false, "elementwise_affine": false """ },
        { "gla", """ "num_heads": 2, "num_kv_heads": 2, "feature_map": "sigmoid", "use_output_gate": false """ },
        { "retnet", """ "num_heads": 3, "num_kv_heads": 1, "expand_k": 0.5, "feature_map": "gelu", "use_short_conv": true """ },
        { "retnet", """ "num_heads": 2, "num_kv_heads": 2, "expand_v": 1, "use_output_gate": false, "norm_eps": 0.01 """ },
        { "gsa", """ "num_heads": 6, "num_kv_heads": 2, "expand_k": 0.5, "num_slots": 5, "feature_map": "relu", "gate_logit_normalizer": 4, "norm_eps": 0.1 """ },
        { "gsa", """ "num_heads": 3, "num_kv_heads": 3, "num_slots": null, "feature_map": "t2r", "use_short_conv": true, "elementwise_affine": false """ },
        { "hgrn", """ "num_hidden_layers": 3, "use_short_conv": true, "norm_eps": 0.01 """ },
        { "hgrn", """ "num_hidden_layers": 3, "use_lower_bound": false, "expand_ratio": 2, "elementwise_affine": false """ },
        { "hgrn2", """ "num_hidden_layers": 3, "expand_ratio": 4, "num_heads": 2, "use_short_conv": true, "norm_eps": 0.1 """ },
        { "hgrn2", """ "num_hidden_layers": 3, "expand_ratio": null, "num_heads": 2, "use_lower_bound": false """ },
        { "linear_attn", """ "num_heads": 6, "num_kv_heads": 2, "expand_k": 2, "feature_map": "elementwise_product", "norm_eps": 0.01 """ },
        { "linear_attn", """ "num_heads": 3, "num_kv_heads": 1, "expand_v": 2, "feature_map": "hedgehog", "tie_feature_map_qk": true, "norm_feature_map": true """ },
        { "linear_attn", """ "num_heads": 3, "num_kv_heads": 3, "feature_map": "dpfp", "elementwise_affine": false """ },
        { "linear_attn", """ "num_heads": 3, "num_kv_heads": 3, "feature_map": "elu", "norm_q": true, "norm_k": true """ },
        { "linear_attn", """ "num_heads": 3, "num_kv_heads": 3, "feature_map": "t2r" """ },
        { "lightnet", """ "num_heads": 3, "expand_ratio": 6, "gate_low_rank_dim": 5, "use_short_conv": true, "norm_eps": 0.1 """ },
        { "lightnet", """ "num_heads": 2, "expand_ratio": 16, "gate_low_rank_dim": 5, "elementwise_affine": false """ },
        { "delta_net", """ "num_heads": 3, "expand_k": 0.5, "expand_v": 2, "use_gate": true, "conv_size": 2, "allow_neg_eigval": true, "norm_eps": 0.01 """ },
        { "delta_net", """ "num_heads": 3, "qk_activation": "relu", "qk_norm": "l2" """ },
        { "delta_net", """ "num_heads": 3, "qk_activation": "elu", "qk_norm": "sum", "use_beta": false, "use_short_conv": false """ },
        { "gated_deltanet", """ "num_heads": 2, "num_v_heads": 6, "head_dim": 4, "expand_v": 1.5, "allow_neg_eigval": true, "norm_eps": 0.01 """ },
        { "gated_deltanet", """ "num_heads": 3, "num_v_heads": 3, "head_dim": 2, "expand_v": 2, "use_gate": false, "use_short_conv": false """ },
        { "kda", """ "num_heads": 2, "num_v_heads": 4, "head_dim": 4, "expand_v": 1.5, "lower_bound": -3.0, "allow_neg_eigval": true, "norm_eps": 0.01 """ },
        { "kda", """ "num_heads": 3, "num_v_heads": 3, "head_dim": 4, "expand_v": 0.5, "use_short_conv": false """ },
        { "comba", """ "num_heads": 3, "head_dim": 4, "expand_v": 1.5, "use_short_conv": false, "norm_eps": 0.01 """ },
        { "comba", """ "num_heads": 2, "head_dim": 5, "expand_v": 1, "use_output_gate": false """ },
        { "attn", """ "num_heads": 3, "num_kv_heads": 1, "qkv_bias": true, "window_size": 3, "rope_theta": 50.0 """ },
        { "attn", """ "num_heads": 6, "num_kv_heads": 3 """ },
        { "attn", """ "num_heads": 2, "num_kv_heads": 2, "window_size": 1 """ },
        { "rwkv6", "" },
        { "rwkv7", """ "key_epsilon": 1e-6 """ },
        { "rwkv7", "" },
    };

    public void Dispose() => scope.Dispose();

    [Theory, MemberData(nameof(Forms))]
    public void A_mixer_gives_what_its_equations_give(string name, string settings)
    {
        var config = ConfigJson.Parse($"{{ \"hidden_size\": {D}{(settings == "" ? "" : ",")} {settings} }}", "config.json");
        using var weights = new WeightSource(new FreshWeights(config, 3, ScalarType.Float32));
        using var mixer = mixers[name](config, weights);
        using var inference = no_grad();
        using var chance = new torch.Generator(4);
        foreach (var (_, parameter) in weights.Made) parameter.normal_(0, 0.5, chance);
        var x = randn(2, T, D, generator: chance);
        using var shared = new LayerState { ["v_first"] = randn(2, T, 12, generator: chance) };
        using var state = mixer.NewState(2);
        var equations = new FlaEquations(config, weights.Made.ToDictionary(made => made.Name, made => (Tensor)made.Parameter), shared["v_first"]);
        Near.Equal(equations.Of(name, x), mixer.call(x, new(state, Shared: shared)));
    }
}
