using ReadTwice.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace ReadTwice.Tests.Models;

/// <summary>What fla-org's mixers compute, from their equations alone: a loop over tokens, and nothing of the library.</summary>
/// <param name="config">What the mixer was built from.</param>
/// <param name="p">Its parameters by the authors' names.</param>
/// <param name="firstValues">What RWKV-7's first layer left, [B, T, n].</param>
internal sealed class FlaEquations(ConfigJson config, Dictionary<string, Tensor> p, Tensor firstValues)
{
    private long H => config.Long("num_heads");

    private double Epsilon => config.Double("norm_eps", 1e-6);

    /// <summary>A mixer's output for x, [B, T, D].</summary>
    public Tensor Of(string name, Tensor x) => name switch
    {
        "gla" => Gla(x),
        "retnet" => RetNet(x),
        "gsa" => Gsa(x),
        "hgrn" => Hgrn(x),
        "hgrn2" => Hgrn2(x),
        "linear_attn" => LinearAttention(x),
        "lightnet" => LightNet(x),
        "delta_net" => DeltaNet(x),
        "gated_deltanet" => GatedDeltaNet(x),
        "kda" => Kda(x),
        "comba" => Comba(x),
        "attn" => Attention(x),
        "rwkv6" => Rwkv6(x),
        "rwkv7" => Rwkv7(x),
        _ => throw new ArgumentException(name),
    };

    private Tensor Gla(Tensor x)
    {
        long groups = H / config.Long("num_kv_heads");
        Tensor Map(Tensor y) => config.String("feature_map", "") switch { "relu" => relu(y), "sigmoid" => Sigmoid(y), _ => y };
        var (q, k, v) = (Split(Map(Filtered("q", x, silu: true)), H), Split(Map(Filtered("k", x, silu: true)), H / groups), Split(Filtered("v", x, silu: true), H / groups));
        var g = -softplus(-Linear("gk_proj.1", Linear("gk_proj.0", x))) / 16;
        if (config.Has("clamp_min")) g = maximum(g, tensor((float)config.Double("clamp_min")));
        var o = Recurrence(q, Repeat(k, groups), Repeat(v, groups), Math.Pow(q.size(3), -0.5), Repeat(Split(g, H / groups), groups).exp());
        return Gated(x, o);
    }

    private Tensor RetNet(Tensor x)
    {
        long groups = H / config.Long("num_kv_heads");
        Tensor Map(Tensor y) => config.Has("feature_map") ? 0.5 * y * (1 + erf(y / Math.Sqrt(2))) : y;
        var q = Turn(Split(Map(Linear("q_proj", x)), H), 10000);
        var k = Repeat(Turn(Split(Map(Linear("k_proj", x)), H / groups), 10000), groups);
        var v = Repeat(Split(Linear("v_proj", x), H / groups), groups);
        var decay = 1 - pow(2, -5 - arange(H).to(ScalarType.Float32));
        return Gated(x, Recurrence(q, k, v, Math.Pow(q.size(3), -0.5), decay.view(1, 1, H, 1).expand(x.size(0), x.size(1), H, 1)));
    }

    private Tensor Gsa(Tensor x)
    {
        long groups = H / config.Long("num_kv_heads");
        Tensor Map(Tensor y) => config.String("feature_map") == "t2r" ? relu(linear(y, p["feature_map.layer.weight"])) : relu(y);
        var q = Map(Split(Filtered("q", x, silu: true), H));
        var k = Repeat(Map(Split(Filtered("k", x, silu: true), H / groups)), groups);
        var v = Repeat(Split(silu(Filtered("v", x, silu: true)), H / groups), groups);
        var keep = Repeat(Split((-softplus(-Linear("f_proj", x)) / config.Double("gate_logit_normalizer", 8)).exp(), H / groups), groups);
        Tensor hk = zeros(x.size(0), H, q.size(3), keep.size(3)), hv = zeros(x.size(0), H, keep.size(3), v.size(3));
        return Linear("o_proj", Rms(silu(EachToken(x, t =>
        {
            var (kept, written) = (keep.select(1, t), 1 - keep.select(1, t));
            hk = hk * kept.unsqueeze(2) + k.select(1, t).unsqueeze(3) * written.unsqueeze(2);
            hv = hv * kept.unsqueeze(3) + written.unsqueeze(3) * v.select(1, t).unsqueeze(2);
            return Read(hv, softmax(Read(hk, q.select(1, t)), -1));
        }).flatten(2)), "g_norm.weight", 1e-5));
    }

    private Tensor Hgrn(Tensor x)
    {
        var a = Kept(Filtered("f", x, silu: false));
        var written = silu(Filtered("i", x, silu: false)) * (1 - a);
        var h = zeros(x.size(0), a.size(2));
        var o = EachToken(x, t => h = a.select(1, t) * h + written.select(1, t));
        return Linear("o_proj", Rms(o, "g_norm.weight", Epsilon) * silu(Linear("g_proj", x)));
    }

    private Tensor Hgrn2(Tensor x)
    {
        long F = config.IsNull("expand_ratio") ? x.size(2) / H : config.Long("expand_ratio"), heads = x.size(2) / F;
        var a = Split(Kept(Filtered("f", x, silu: false)), heads);
        var o = Recurrence(Split(silu(Filtered("q", x, silu: false)), heads), 1 - a, Split(Filtered("i", x, silu: false), heads), Math.Pow(F, -0.5), a);
        return Linear("o_proj", Rms(o.flatten(2), "g_norm.weight", 1e-5));
    }

    private Tensor LinearAttention(Tensor x)
    {
        long groups = H / config.Long("num_kv_heads");
        string k_side = config.Bool("tie_feature_map_qk", false) ? "q" : "k";
        var q = Features(Split(Linear("q_proj", x), H), "q");
        var k = Features(Repeat(Split(Linear("k_proj", x), H / groups), groups), k_side);
        if (config.Bool("norm_q", false)) q = q / (q.sum(-1, true) + 1e-4);
        if (config.Bool("norm_k", false)) k = k / (k.sum(-1, true) + 1e-4);
        double scale = Math.Pow(q.size(3), -0.5);
        var o = Recurrence(q, k, Repeat(Split(Linear("v_proj", x), H / groups), groups), scale);
        if (config.Bool("norm_feature_map", false)) o = o / (scale * (q * k.cumsum(1)).sum(-1, true) + 1e-10);
        return Linear("o_proj", Rms(o, "norm.weight", Epsilon).flatten(2));
    }

    private Tensor Features(Tensor x, string side)
    {
        Tensor Layer(string name) => linear(x, p[$"feature_map_{side}.{name}.weight"], p.GetValueOrDefault($"feature_map_{side}.{name}.bias"));
        switch (config.String("feature_map"))
        {
            case "elementwise_product": return Layer("layer1") * Layer("layer2");
            case "hedgehog": return softmax(cat([2 * Layer("layer"), -2 * Layer("layer")], -1), -1);
            case "t2r": return relu(Layer("layer"));
            case "elu": return where(x > 0, x + 1, x.exp());
            default:
                var z = cat([relu(x), -relu(x)], -1);
                long n = z.size(-1);
                return cat([.. Enumerable.Range(1, 4).Select(by => z * cat([z.narrow(-1, n - by, by), z.narrow(-1, 0, n - by)], -1))], -1);
        }
    }

    private Tensor LightNet(Tensor x)
    {
        var (q, k, v) = (Split(silu(Filtered("q", x, silu: false)), H), Split(Filtered("k", x, silu: false), H), Split(Filtered("v", x, silu: false), H));
        var z = logcumsumexp(k, 1);
        var before = cat([z.narrow(1, 0, 1), z.narrow(1, 0, x.size(1) - 1)], 1);
        var o = Recurrence(q, (k - z).exp(), v, Math.Pow(q.size(3), -0.5), (before - z).exp());
        return Linear("o_proj", Rms(o.flatten(2), "g_norm.weight", 1e-6) * silu(Linear("g_proj.1", Linear("g_proj.0", x))));
    }

    private Tensor DeltaNet(Tensor x)
    {
        string act = config.String("qk_activation", "silu");
        Tensor Key(string name)
        {
            var y = Filtered(name, x, silu: act == "silu");
            if (act == "silu" && !p.ContainsKey("q_conv1d.weight")) y = silu(y);
            y = Split(act == "relu" ? relu(y) : act == "elu" ? where(y > 0, y + 1, y.exp()) : y, H);
            return config.String("qk_norm", "l2") == "sum" ? y / y.sum(-1, true) : Unit(y);
        }

        var v = p.ContainsKey("v_conv1d.weight") ? Filtered("v", x, silu: true) : silu(Filtered("v", x, silu: false));
        var beta = (config.Bool("use_beta", true) ? Sigmoid(Linear("b_proj", x)) : ones(x.size(0), x.size(1), H)) * (config.Bool("allow_neg_eigval", false) ? 2 : 1);
        return Output(x, Delta(Key("q"), Key("k"), Split(v, H), beta, null), config.Bool("use_gate", false), y => silu(y));
    }

    private Tensor GatedDeltaNet(Tensor x)
    {
        var (q, k, v) = DeltaHeads(x);
        return Output(x, Delta(Unit(q), Unit(k), v, Beta(x), Fade(x).unsqueeze(-1)), config.Bool("use_gate", true), y => silu(y));
    }

    private Tensor Kda(Tensor x)
    {
        var (q, k, v) = DeltaHeads(x);
        var f = Split(Linear("f_proj.1", Linear("f_proj.0", x)) + p["dt_bias"], v.size(2));
        var A = p["A_log"].exp().view(1, 1, -1, 1);
        var g = config.Has("lower_bound") ? config.Double("lower_bound") * Sigmoid(A * f) : -A * softplus(f);
        var o = Rms(Delta(Unit(q), Unit(k), v, Beta(x), g.exp()), "o_norm.weight", Epsilon).flatten(2);
        return Linear("o_proj", o * Sigmoid(Linear("g_proj.1", Linear("g_proj.0", x))));
    }

    private Tensor Comba(Tensor x)
    {
        var (q, k, v) = DeltaHeads(x);
        var asked = Sigmoid(p["decay"]).view(1, 1, -1, 1) * k;
        q = q - p["D"].view(1, 1, -1, 1) * asked;
        return Output(x, Delta(Unit(q), Unit(k), v, Beta(x), Fade(x).unsqueeze(-1), Unit(asked)), config.Bool("use_output_gate", true), Sigmoid);
    }

    private Tensor Attention(Tensor x)
    {
        long keyHeads = config.Long("num_kv_heads"), window = config.Long("window_size", x.size(1));
        double theta = config.Double("rope_theta", 10000);
        var q = Turn(Split(Linear("q_proj", x), H), theta);
        var k = Repeat(Turn(Split(Linear("k_proj", x), keyHeads), theta), H / keyHeads);
        var v = Repeat(Split(Linear("v_proj", x), keyHeads), H / keyHeads);
        return Linear("o_proj", EachToken(x, t =>
        {
            long first = Math.Max(0, t - window + 1);
            Tensor Seen(Tensor y) => y.narrow(1, first, t + 1 - first);
            var weights = softmax((q.select(1, t).unsqueeze(1) * Seen(k)).sum(-1) * Math.Pow(q.size(3), -0.5), 1);
            return (weights.unsqueeze(-1) * Seen(v)).sum(1);
        }).flatten(2));
    }

    private Tensor Rwkv6(Tensor x)
    {
        const long Heads = 3;
        long R = p["x_proj.2.weight"].size(1) / 5;
        var delta = Before(x) - x;
        var inner = tanh(Linear("x_proj.0.linear", x + delta * p["x_proj.0.mu"]));
        Tensor Mixed(int i) => x + delta * (linear(inner.narrow(2, i * R, R), p["x_proj.2.weight"].narrow(1, i * R, R)) + p["x_bias"][i]);
        var (r, k, v) = (Split(Linear("r_proj.linear", Mixed(0)), Heads), Split(Linear("k_proj.linear", Mixed(2)), Heads), Split(Linear("v_proj.linear", Mixed(3)), Heads));
        var w = Split((-Linear("w_proj.linear.lora.2", tanh(Linear("w_proj.linear.lora.0", Mixed(1)))).exp()).exp(), Heads);
        var S = zeros(x.size(0), Heads, k.size(3), v.size(3));
        var o = EachToken(x, t =>
        {
            var written = k.select(1, t).unsqueeze(3) * v.select(1, t).unsqueeze(2);
            var y = Read(S + p["bonus"].unsqueeze(-1) * written, r.select(1, t));
            S = w.select(1, t).unsqueeze(3) * S + written;
            return y;
        });
        return Linear("o_proj", Grouped(o, 1e-3) * silu(Linear("g_proj.linear", Mixed(4))));
    }

    private Tensor Rwkv7(Tensor x)
    {
        const long Heads = 3;
        Tensor Mixed(string share) => x + (Before(x) - x) * p[share];
        Tensor Lora(string name, Func<Tensor, Tensor> between, Tensor y) => Linear($"{name}.lora.2", between(Linear($"{name}.lora.0", y)));
        var r = Split(Linear("r_proj", Mixed("x_r")), Heads);
        var w = Split((-0.6065306597126334 * Sigmoid(Lora("w_lora", tanh, Mixed("x_w")))).exp(), Heads);
        var (k, v) = (Linear("k_proj", Mixed("x_k")), Linear("v_proj", Mixed("x_v")));
        v = Split(v + (firstValues - v) * Sigmoid(Lora("v_lora", y => y, Mixed("x_v"))), Heads);
        var a = Sigmoid(Lora("a_lora", y => y, Mixed("x_a")));
        var removed = Split(k * p["k_k"], Heads);
        removed = config.Has("key_epsilon") ? Unit(removed) : removed / maximum(removed.pow(2).sum(-1, true).sqrt(), tensor(1e-12f));
        k = Split(k * (1 + (a - 1) * p["k_a"]), Heads);
        var rate = Split(a, Heads);
        var S = zeros(x.size(0), Heads, k.size(3), v.size(3));
        var o = EachToken(x, t =>
        {
            var answered = Read(S, -removed.select(1, t));
            S = w.select(1, t).unsqueeze(3) * S + (removed * rate).select(1, t).unsqueeze(3) * answered.unsqueeze(2)
                + k.select(1, t).unsqueeze(3) * v.select(1, t).unsqueeze(2);
            return Read(S, r.select(1, t));
        });
        var y = Grouped(o, 1e-3) + ((r * k * p["r_k"]).sum(-1, true) * v).flatten(2);
        return Linear("o_proj", y * Lora("g_lora", Sigmoid, Mixed("x_g")));
    }

    private (Tensor Q, Tensor K, Tensor V) DeltaHeads(Tensor x)
    {
        long valueHeads = config.Long("num_v_heads", H);
        bool filtered = p.ContainsKey("q_conv1d.weight");
        Tensor Active(string name) => filtered ? Filtered(name, x, silu: true) : silu(Filtered(name, x, silu: false));
        return (Repeat(Split(Active("q"), H), valueHeads / H), Repeat(Split(Active("k"), H), valueHeads / H), Split(Active("v"), valueHeads));
    }

    private Tensor Beta(Tensor x) => Sigmoid(Linear("b_proj", x)) * (config.Bool("allow_neg_eigval", false) ? 2 : 1);

    private Tensor Fade(Tensor x) => (-p["A_log"].exp() * softplus(Linear("a_proj", x) + p["dt_bias"])).exp();

    private Tensor Output(Tensor x, Tensor o, bool gated, Func<Tensor, Tensor> activation)
    {
        o = Rms(o, "o_norm.weight", Epsilon).flatten(2);
        return Linear("o_proj", gated ? o * activation(Linear("g_proj", x)) : o);
    }

    // The name of the norm says how the authors compute it.
    private Tensor Gated(Tensor x, Tensor o)
    {
        bool gated = config.Bool("use_output_gate", true), fused = gated && config.Bool("fuse_norm", true);
        o = Rms(o, fused ? "g_norm_swish_gate.weight" : "g_norm.weight", Epsilon).flatten(2);
        return Linear("o_proj", gated ? o * silu(Linear("g_proj", x)) : o);
    }

    private Tensor Kept(Tensor f)
    {
        if (!config.Bool("use_lower_bound", true)) return Sigmoid(f);
        var shares = softmax(p["lowerBounds"], 0);
        var least = shares[0] + shares[1] + shares[2] - shares[0];
        return least + (1 - least) * Sigmoid(f);
    }

    private Tensor Linear(string name, Tensor x) => linear(x, p[$"{name}.weight"], p.GetValueOrDefault($"{name}.bias"));

    private Tensor Filtered(string name, Tensor x, bool silu)
    {
        var y = Linear($"{name}_proj", x);
        if (!p.TryGetValue($"{name}_conv1d.weight", out var weight)) return y;
        long taps = weight.size(2);
        var filtered = EachToken(y, t =>
        {
            var sum = zeros_like(y.select(1, 0));
            for (long i = Math.Max(0, taps - 1 - t); i < taps; i++) sum += weight.select(2, i).squeeze(1) * y.select(1, t - taps + 1 + i);
            return sum;
        });
        return silu ? nn.functional.silu(filtered) : filtered;
    }

    private Tensor Rms(Tensor x, string weight, double epsilon) =>
        x / (x.pow(2).mean([-1], true) + epsilon).sqrt() * (config.Bool("elementwise_affine", true) ? p[weight] : ones(1));

    private Tensor Grouped(Tensor o, double epsilon)
    {
        var centred = o - o.mean([-1], true);
        return (centred / (centred.pow(2).mean([-1], true) + epsilon).sqrt()).flatten(2) * p["g_norm.weight"] + p["g_norm.bias"];
    }

    private static Tensor Recurrence(Tensor q, Tensor k, Tensor v, double scale, Tensor? decay = null)
    {
        var S = zeros(q.size(0), q.size(2), q.size(3), v.size(3));
        return EachToken(q, t =>
        {
            if (decay is not null) S = decay.select(1, t).unsqueeze(3) * S;
            S = S + k.select(1, t).unsqueeze(3) * v.select(1, t).unsqueeze(2);
            return scale * Read(S, q.select(1, t));
        });
    }

    private static Tensor Delta(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor? decay, Tensor? asked = null)
    {
        var S = zeros(q.size(0), q.size(2), q.size(3), v.size(3));
        return EachToken(q, t =>
        {
            var before = S;
            if (decay is not null) S = decay.select(1, t).unsqueeze(3) * S;
            var u = v.select(1, t) - (asked is null ? Read(S, k.select(1, t)) : Read(before, asked.select(1, t)));
            S = S + k.select(1, t).unsqueeze(3) * (beta.select(1, t).unsqueeze(2) * u).unsqueeze(2);
            return Math.Pow(q.size(3), -0.5) * Read(S, q.select(1, t));
        });
    }

    // Sᵀ q of each head: [B, H, K, V] and [B, H, K] -> [B, H, V].
    private static Tensor Read(Tensor S, Tensor q) => (S * q.unsqueeze(3)).sum(2);

    private static Tensor EachToken(Tensor x, Func<long, Tensor> step) => stack([.. Enumerable.Range(0, (int)x.size(1)).Select(t => step(t))], 1);

    private static Tensor Before(Tensor x) => cat([zeros_like(x.narrow(1, 0, 1)), x.narrow(1, 0, x.size(1) - 1)], 1);

    private static Tensor Split(Tensor x, long heads) => x.unflatten(2, [heads, x.size(2) / heads]);

    private static Tensor Repeat(Tensor x, long groups) => stack([.. Enumerable.Range(0, (int)(x.size(2) * groups)).Select(h => x.select(2, h / groups))], 2);

    private static Tensor Sigmoid(Tensor x) => 1 / (1 + (-x).exp());

    private static Tensor Unit(Tensor x) => x / (x.pow(2).sum(-1, true) + 1e-6).sqrt();

    private static Tensor Turn(Tensor x, double theta)
    {
        long half = x.size(3) / 2;
        var angle = arange(x.size(1)).to(ScalarType.Float32).view(-1, 1) * pow(theta, -arange(half).to(ScalarType.Float32) / half);
        var (cos, sin) = (angle.cos().unsqueeze(1), angle.sin().unsqueeze(1));
        var (a, b) = (x.narrow(3, 0, half), x.narrow(3, half, half));
        return cat([a * cos - b * sin, a * sin + b * cos], 3);
    }
}
