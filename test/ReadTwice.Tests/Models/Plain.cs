using TorchSharp;
using static TorchSharp.torch;

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
}
