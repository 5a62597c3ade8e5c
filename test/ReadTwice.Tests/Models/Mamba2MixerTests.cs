using ReadTwice.Checkpoints;
using ReadTwice.Models;
using TorchSharp;
using static TorchSharp.torch;

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
        Near.Equal(Plain.Mamba2(config, mixer.named_parameters().ToDictionary(entry => entry.name, entry => (Tensor)entry.parameter), u), mixer.call(u, new(state)));
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
        Near.Equal(Plain.Mamba2(config, parameters, u, mask).narrow(1, 4, 5), y.narrow(1, 4, 5));
        var alone = Plain.Mamba2(config, parameters, u.narrow(1, 4, 5)).select(0, 1);
        Assert.True((alone - y[1].narrow(0, 4, 5)).abs().max().item<float>() > 1e-2, "nothing of the bias is seen");
    }
}
