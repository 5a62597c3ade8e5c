using ReadTwice.Checkpoints;
using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>Rotary position embedding in the two-halves style (arXiv 2104.09864), with the published ways to stretch it.</summary>
/// <remarks>
/// Pair (j, j + n/2) of the first n channels of a head turns by position · base^(-2j/n). An odd n keeps n in the exponent and
/// rotates n + 1 channels, as flash-attention's does.
/// </remarks>
public sealed class Rotary
{
    private readonly long n;
    private readonly double theta;
    private readonly ConfigJson? scaling;
    private readonly double longest;
    private readonly double original;
    private readonly double attention = 1;
    private readonly string kind;

    /// <summary>Turns the first n channels of each head.</summary>
    /// <param name="n">How many channels turn; 0 for none.</param>
    /// <param name="theta">The base of the frequencies.</param>
    /// <param name="scaling">The config's rope_scaling object.</param>
    /// <param name="longest">max_position_embeddings, which some ways to stretch refer to.</param>
    /// <param name="original">original_max_position_embeddings where it stands beside rope_scaling and not in it; 0 for nowhere.</param>
    public Rotary(long n, double theta = 10000, ConfigJson? scaling = null, double longest = 0, double original = 0)
    {
        (this.n, this.theta, this.scaling, this.longest, this.original) = (n, theta, scaling, longest, original > 0 ? original : longest);
        if (n < 0) throw new InvalidDataException($"config.json: rotary embedding would turn {n} channels of a head; 0 or more are needed.");
        kind = scaling?.String("rope_type", scaling.String("type", "default")) ?? "default";
        if (kind is not ("default" or "linear" or "dynamic" or "llama3" or "yarn" or "longrope" or "su"))
            throw new InvalidDataException($"{scaling!.Where("rope_type")} is \"{kind}\"; known: default, linear, dynamic, llama3, yarn, longrope.");
        if (kind == "yarn") attention = scaling!.Double("attention_factor", YarnAttention(scaling.Double("factor")));
        if (kind is "longrope" or "su") attention = scaling!.Double("attention_factor", LongAttention());
    }

    private double Original => scaling!.Double("original_max_position_embeddings", original);

    /// <summary>How T tokens, of which the first stands at this position, are turned; null where they are not.</summary>
    /// <exception cref="InvalidDataException">A head of this width has too few channels.</exception>
    public Turns? Turns(long position, long T, long width)
    {
        if (n == 0) return null;
        long half = (n + 1) / 2;
        if (2 * half > width) throw new InvalidDataException($"config.json: rotary embedding would turn {2 * half} channels of a head that has {width}.");
        double[] inverse = Frequencies(position + T);
        var (cos, sin) = (empty(T, half), empty(T, half));
        Span<float> toCos = TensorMemory.Span(cos), toSin = TensorMemory.Span(sin);
        for (int t = 0, at = 0; t < T; t++)
            foreach (double frequency in inverse)
            {
                var (s, c) = Math.SinCos((position + t) * frequency);
                (toCos[at], toSin[at++]) = ((float)(c * attention), (float)(s * attention));
            }
        return new(cos, sin);
    }

    private double[] Frequencies(long length)
    {
        double b = theta;
        if (kind == "dynamic" && length > longest)
            b *= Math.Pow(scaling!.Double("factor") * length / longest - (scaling.Double("factor") - 1), n / (n - 2.0));
        double[] inverse = [.. Enumerable.Range(0, (int)(n + 1) / 2).Select(j => Math.Pow(b, -2.0 * j / n))];
        return kind switch
        {
            "linear" => [.. inverse.Select(f => f / scaling!.Double("factor"))],
            "llama3" => [.. inverse.Select(Llama3)],
            "yarn" => [.. inverse.Select(Yarn)],
            "longrope" or "su" => LongRope(inverse, length),
            _ => inverse,
        };
    }

    private double Llama3(double f)
    {
        double factor = scaling!.Double("factor"), low = scaling.Double("low_freq_factor"), high = scaling.Double("high_freq_factor");
        double wave = 2 * Math.PI / f;
        if (wave < Original / high) return f;
        if (wave > Original / low) return f / factor;
        double s = (Original / wave - low) / (high - low);
        return (1 - s) * f / factor + s * f;
    }

    // Channels that turn often within the trained length keep their frequency; those that turn seldom are stretched.
    private double Yarn(double f, int j)
    {
        double Channel(double turns) => n * Math.Log(Original / (turns * 2 * Math.PI)) / (2 * Math.Log(theta));
        double low = Math.Max(Math.Floor(Channel(scaling!.Double("beta_fast", 32))), 0);
        double high = Math.Min(Math.Ceiling(Channel(scaling.Double("beta_slow", 1))), n - 1);
        double stretched = Math.Clamp((j - low) / (high == low ? 0.001 : high - low), 0, 1);
        return f / scaling.Double("factor") * stretched + f * (1 - stretched);
    }

    private static double YarnAttention(double factor) => factor <= 1 ? 1 : 0.1 * Math.Log(factor) + 1;

    private double LongAttention()
    {
        double factor = scaling!.Double("factor", longest / Original);
        return factor <= 1 ? 1 : Math.Sqrt(1 + Math.Log(factor) / Math.Log(Original));
    }

    private double[] LongRope(double[] inverse, long length)
    {
        string key = length > Original ? "long_factor" : "short_factor";
        var factors = scaling!.Doubles(key) ?? throw new InvalidDataException($"{scaling.Where(key)} is missing; longrope needs {inverse.Length} numbers.");
        if (factors.Count != inverse.Length)
            throw new InvalidDataException($"{scaling.Where(key)} holds {factors.Count} numbers; {inverse.Length} are needed.");
        return [.. inverse.Select((f, j) => f / factors[j])];
    }
}
