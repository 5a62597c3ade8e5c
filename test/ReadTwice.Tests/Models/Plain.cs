using ReadTwice.Models;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace ReadTwice.Tests.Models;

/// <summary>Layers written down as their papers define them, head by head and pair by pair, sharing nothing with those they are held against.</summary>
internal static class Plain
{
    /// <summary>Softmax attention: q [B, T, H E], k and v [B, T, keyHeads E] -> [B, T, H E]; a token sees itself and so many before it.</summary>
    public static Tensor Attention(Tensor q, Tensor k, Tensor v, long H, long keyHeads, double scale, long before = long.MaxValue)
    {
        long T = q.size(1), E = q.size(2) / H;
        var at = arange(T);
        var distance = at.unsqueeze(1) - at;
        var hidden = distance.lt(0).logical_or(distance.gt(before));
        var heads = new List<Tensor>();
        for (long h = 0; h < H; h++)
        {
            long from = h / (H / keyHeads) * E;
            var scores = bmm(q.narrow(2, h * E, E), k.narrow(2, from, E).transpose(1, 2)) * scale;
            heads.Add(bmm(scores.masked_fill(hidden, double.NegativeInfinity).softmax(-1), v.narrow(2, from, E)));
        }
        return cat([.. heads], 2);
    }

    /// <summary>Rotary embedding: x [B, T, heads E], whose pair (j, j + n) of each head turns by position · inverse[j], n their number.</summary>
    public static Tensor Turned(Tensor x, long heads, double[] inverse, double size = 1)
    {
        long E = x.size(2) / heads, n = inverse.Length;
        var y = x.clone();
        for (long t = 0; t < x.size(1); t++)
            for (long h = 0; h < heads; h++)
                for (int j = 0; j < n; j++)
                {
                    double cos = Math.Cos(t * inverse[j]) * size, sin = Math.Sin(t * inverse[j]) * size;
                    var (a, b) = (x.select(1, t).select(1, h * E + j), x.select(1, t).select(1, h * E + n + j));
                    y.select(1, t).select(1, h * E + j).copy_(a * cos - b * sin);
                    y.select(1, t).select(1, h * E + n + j).copy_(b * cos + a * sin);
                }
        return y;
    }

    /// <summary>base^(-2j/n) for each pair of n channels.</summary>
    public static double[] Frequencies(long n, double theta = 10000) => [.. Enumerable.Range(0, (int)(n + 1) / 2).Select(j => Math.Pow(theta, -2.0 * j / n))];

    /// <summary>A filter for each channel, [B, T, C] -> [B, T, C]: the last tap meets the token itself.</summary>
    public static Tensor Filtered(Tensor x, Tensor weight, Tensor? bias = null)
    {
        long taps = weight.size(2);
        var y = zeros_like(x);
        for (long t = 0; t < x.size(1); t++)
            for (long i = 0; i < taps && i <= t; i++) y.select(1, t).add_(x.select(1, t - i) * weight.select(2, taps - 1 - i).squeeze(1));
        return bias is null ? y : y + bias;
    }

    /// <summary>x / √(mean(x²) + ε) · w.</summary>
    public static Tensor RmsNorm(Tensor x, Tensor weight, double epsilon = 1e-5) => x / (x.square().mean([-1], keepdim: true) + epsilon).sqrt() * weight;

    /// <summary>(x - mean) / √(variance + ε) · w + b.</summary>
    public static Tensor LayerNorm(Tensor x, Tensor weight, Tensor bias, double epsilon = 1e-5)
    {
        var centred = x - x.mean([-1], keepdim: true);
        return centred / (centred.square().mean([-1], keepdim: true) + epsilon).sqrt() * weight + bias;
    }

    /// <summary>Mamba, whose three inner parts may be normalised.</summary>
    public static Tensor Mamba(
        Dictionary<string, Tensor> w, string m, Tensor u, long N, long R, Func<Tensor, Tensor> activation, Func<Tensor, string, Tensor>? norm = null)
    {
        var halves = linear(u, w[m + "in_proj.weight"], w.GetValueOrDefault(m + "in_proj.bias")).chunk(2, 2);
        var x = activation(Filtered(halves[0], w[m + "conv1d.weight"], w.GetValueOrDefault(m + "conv1d.bias")));
        string[] names = ["dt_layernorm", "b_layernorm", "c_layernorm"];
        Tensor[] parts = [.. linear(x, w[m + "x_proj.weight"]).split([R, N, N], 2).Zip(names, (part, name) => norm is null ? part : norm(part, name))];
        var delta = softplus(linear(parts[0], w[m + "dt_proj.weight"], w[m + "dt_proj.bias"]));
        var y = Scanned(
            t => (-delta.select(1, t).unsqueeze(2) * w[m + "A_log"].exp()).exp(), t => (delta * x).select(1, t).unsqueeze(2) * parts[1].select(1, t).unsqueeze(1), parts[2]);
        return linear((y + x * w[m + "D"]) * activation(halves[1]), w[m + "out_proj.weight"], w.GetValueOrDefault(m + "out_proj.bias"));
    }

    /// <summary>S ← a S + b, y = S c.</summary>
    public static Tensor Scanned(Func<long, Tensor> a, Func<long, Tensor> b, Tensor c)
    {
        var S = zeros(1);
        var rows = new List<Tensor>();
        for (long t = 0; t < c.size(1); t++)
        {
            S = a(t) * S + b(t);
            rows.Add((S * c.select(1, t).unsqueeze(1)).sum(2));
        }
        return stack(rows, 1);
    }

    /// <summary>Mamba-2 one token after the other; a mask, [B, T], lies over what enters the layer and what leaves the filter.</summary>
    public static Tensor Mamba2(Mamba2Config config, Dictionary<string, Tensor> parameters, Tensor u, Tensor? mask = null)
    {
        var (_, H, P, G, N) = config;
        if (mask is not null) u = u * mask.unsqueeze(2);
        Tensor? Optional(string name) => parameters.GetValueOrDefault(name);
        var all = linear(u, parameters["input.weight"], Optional("input.bias"));
        long at = config.UnusedRows;
        Tensor Next(long width) => all.narrow(2, (at += width) - width, width);
        var (z0, x0) = config.MlpWidth == 0 ? (null, null) : (Next(config.MlpWidth), Next(config.MlpWidth));
        var factors = config.Factors ?? [1, 1, 1, 1, 1];
        var z = Next(config.I) * factors[0];
        var xBC = cat([Next(config.I) * factors[1], Next(G * N) * factors[2], Next(G * N) * factors[3]], 2);
        var delta = softplus(Next(H) * factors[4] + parameters["stepBias"]).clamp(config.Steps.Least, config.Steps.Largest);

        var S = zeros(2, H, P, N);
        var rows = new List<Tensor>();
        for (long t = 0; t < u.size(1); t++)
        {
            var filtered = Optional("conv.bias") ?? zeros(config.Filtered);
            for (long i = 0; i < config.Taps && i <= t; i++)
                filtered = filtered + xBC.select(1, t - i) * parameters["conv.weight"].select(2, config.Taps - 1 - i).squeeze(1);
            filtered = config.Activation == "gelu" ? gelu(filtered) : silu(filtered);
            if (mask is not null) filtered = filtered * mask.select(1, t).unsqueeze(1);
            var x = filtered.narrow(1, 0, config.I).view(2, H, P);
            var b = filtered.narrow(1, config.I, G * N).view(2, G, N).repeat_interleave(H / G, 1);
            var c = filtered.narrow(1, config.I + G * N, G * N).view(2, G, N).repeat_interleave(H / G, 1);
            var d = delta.select(1, t).view(2, H, 1, 1);
            S = (-d * parameters["logA"].exp().view(1, H, 1, 1)).exp() * S + d * x.unsqueeze(3) * b.unsqueeze(2);
            rows.Add(((S * c.unsqueeze(2)).sum(3) + parameters["skip"].view(H, -1) * x).view(2, config.I));
        }

        var y = stack(rows, 1);
        if (!config.NormBeforeGate) y = y * silu(z);
        if (config.NormGroups > 0)
        {
            var groups = y.chunk(config.NormGroups, 2).Select(group => group / (group.square().mean([2], keepdim: true) + config.NormEpsilon).sqrt());
            y = cat([.. groups], 2) * parameters["norm.weight"];
        }
        if (config.NormBeforeGate) y = y * silu(z);
        return linear(z0 is null ? y : cat([silu(z0) * x0!, y], 2), parameters["output.weight"], Optional("output.bias"));
    }
}
