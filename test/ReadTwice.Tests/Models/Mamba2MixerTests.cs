using ReadTwice.Checkpoints;
using ReadTwice.Models;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace ReadTwice.Tests.Models;

/// <summary>The layer against its definition, one token after the other, in the forms that no golden data covers.</summary>
public sealed class Mamba2MixerTests : IDisposable
{
    private static readonly Mamba2Config plain = new(D: 12, H: 4, P: 3, G: 2, N: 5);

    private static readonly Dictionary<string, Mamba2Config> forms = new()
    {
        ["one norm"] = plain,
        ["a norm for each group"] = plain with { NormGroups = 2 },
        ["a norm before the gate"] = plain with { NormGroups = 2, NormBeforeGate = true },
        ["no norm"] = plain with { NormGroups = 0 },
        ["a skip for each channel"] = plain with { SkipPerChannel = true },
        ["limited time steps"] = plain with { Steps = (0.5, 0.8) },
        ["an MLP beside it"] = plain with { MlpWidth = 7 },
        ["unused rows"] = plain with { UnusedRows = 6 },
        ["factors"] = plain with { Factors = [0.7, 0.9, 0.8, 1.1, 0.6] },
        ["biases"] = plain with { InputBias = true, OutputBias = true },
        ["a filter of two taps without bias"] = plain with { Taps = 2, ConvBias = false },
        ["another nonlinearity"] = plain with { Activation = "gelu" },
    };

    private readonly DisposeScope scope = NewDisposeScope();

    public Mamba2MixerTests() => Native.Libtorch.Threads = 1;

    public static TheoryData<string> Forms => [.. forms.Keys];

    public void Dispose() => scope.Dispose();

    [Theory, MemberData(nameof(Forms))]
    public void A_layer_gives_what_its_definition_gives(string form)
    {
        var config = forms[form];
        using var weights = new WeightSource(new FreshWeights(ConfigJson.Parse("{}", form), 3, ScalarType.Float32));
        using var mixer = new Mamba2Mixer(config, weights);
        using var inference = no_grad();
        foreach (var parameter in mixer.parameters()) parameter.normal_(0, 0.5);
        var u = randn(2, 9, config.D);
        var state = mixer.NewState(2);
        Near.Equal(Defined(config, mixer.named_parameters().ToDictionary(entry => entry.name, entry => (Tensor)entry.parameter), u), mixer.call(u, new(state)));
    }

    [Fact]
    public void Padding_as_published_lets_the_bias_of_the_projection_into_the_filter()
    {
        var config = plain with { InputBias = true, PaddingLeaksBias = true };
        using var weights = new WeightSource(new FreshWeights(ConfigJson.Parse("{}", "padded"), 3, ScalarType.Float32));
        using var mixer = new Mamba2Mixer(config, weights);
        using var inference = no_grad();
        foreach (var parameter in mixer.parameters()) parameter.normal_(0, 0.5);
        var parameters = mixer.named_parameters().ToDictionary(entry => entry.name, entry => (Tensor)entry.parameter);
        var (u, starts) = (randn(2, 9, config.D), tensor(new long[] { 0, 4 }));
        var mask = arange(9).ge(starts.unsqueeze(1)).to(ScalarType.Float32);
        var y = mixer.call(u, new(mixer.NewState(2), Padding: new(PaddingRule.AsPublished, starts, mask)));
        Near.Equal(Defined(config, parameters, u, mask).narrow(1, 4, 5), y.narrow(1, 4, 5));
        var alone = Defined(config, parameters, u.narrow(1, 4, 5)).select(0, 1);
        Assert.True((alone - y[1].narrow(0, 4, 5)).abs().max().item<float>() > 1e-2, "nothing of the bias is seen");
    }

    // With a mask, [B, T]: as transformers has it, over what enters the layer and over what leaves the filter.
    private static Tensor Defined(Mamba2Config config, Dictionary<string, Tensor> parameters, Tensor u, Tensor? mask = null)
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
