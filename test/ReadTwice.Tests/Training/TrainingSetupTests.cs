using ReadTwice.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Training;

public sealed class TrainingSetupTests : IDisposable
{
    private readonly DisposeScope scope = NewDisposeScope();
    private readonly Tensor guard = zeros(1);

    public void Dispose()
    {
        guard.Dispose();
        scope.Dispose();
    }

    [Fact]
    public void Matrices_filters_and_norms_decay_and_the_embedding_and_biases_do_not_as_in_the_authors_code()
    {
        using var checkpoint = TestModels.Of("HazyResearch JRT-RNN");
        var groups = TrainingSetup.Parameters(checkpoint.Model, decayNorms: true).ToDictionary(parameter => parameter.Name, parameter => parameter.Decays);
        Assert.Equal(["blocks.0.mixer.input.bias", "blocks.0.mixer.output.bias", "blocks.3.mixer.input.bias", "blocks.3.mixer.output.bias", "embedding.weight"],
            groups.Where(group => !group.Value).Select(group => group.Key).Order(StringComparer.Ordinal));
        Assert.True(groups["blocks.0.mixer.conv.weight"] && groups["blocks.1.mixer.prefixKey.weight"] && groups["blocks.2.norm2.weight"] && groups["norm.weight"]);
    }

    [Fact]
    public void Norms_can_be_left_out()
    {
        using var checkpoint = TestModels.Of("HazyResearch JRT-RNN");
        Assert.All(TrainingSetup.Parameters(checkpoint.Model, decayNorms: false), parameter =>
            Assert.True(!parameter.Decays || parameter.Parameter.dim() > 1, $"{parameter.Name} decays"));
    }

    [Fact]
    public void Decays_skips_biases_and_the_embedding_of_Mamba_do_not_decay()
    {
        using var checkpoint = TestModels.Of("transformers Mamba");
        var kept = TrainingSetup.Parameters(checkpoint.Model, decayNorms: true).Where(parameter => !parameter.Decays).Select(parameter => parameter.Name);
        Assert.Equal(["blocks.0.mixer.A_log", "blocks.0.mixer.D", "blocks.0.mixer.conv1d.bias", "blocks.0.mixer.dt_proj.bias"],
            kept.Where(name => name.StartsWith("blocks.0.", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
        Assert.Contains("embedding.weight", kept);
    }

    [Fact]
    public void Matrices_into_the_residual_stream_start_smaller_by_the_root_of_twice_the_layers()
    {
        using var checkpoint = TestModels.Of("HazyResearch JRT-RNN");
        TrainingSetup.Draw(checkpoint.Model, 0.02, new(3));
        var deviations = checkpoint.Model.NamedParameters.Where(named => named.Parameter.dim() == 2)
            .ToDictionary(named => named.Name, named => named.Parameter.std().item<float>());
        Assert.Equal(4, checkpoint.Model.Blocks.Count);
        Assert.InRange(deviations["embedding.weight"], 0.018, 0.022);
        Assert.InRange(deviations["blocks.1.mixer.query.weight"], 0.018, 0.022);
        Assert.InRange(deviations["blocks.1.mixer.output.weight"], 0.9 * 0.02 / Math.Sqrt(8), 1.1 * 0.02 / Math.Sqrt(8));
        Assert.InRange(deviations["blocks.2.mlp.fc2.weight"], 0.9 * 0.02 / Math.Sqrt(8), 1.1 * 0.02 / Math.Sqrt(8));
    }

    [Theory, MemberData(nameof(TestModels.Families), MemberType = typeof(TestModels))]
    public void Every_parameter_of_a_model_has_one_name_and_takes_part_in_its_scores(string family)
    {
        using var checkpoint = TestModels.Of(family);
        var named = checkpoint.Model.NamedParameters;
        Assert.Equal(named.Count, named.Select(entry => entry.Name).Distinct().Count());
        checkpoint.Model.forward(TestModels.Tokens(checkpoint.Model, 2, 9, seed: 1)).square().sum().backward();
        Assert.All(named.Where(entry => entry.Parameter.requires_grad), entry => Assert.True(entry.Parameter.grad is { } gradient && gradient.abs().sum().item<float>() > 0, $"{entry.Name} has no gradient"));
    }
}
