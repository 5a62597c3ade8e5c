using ReadTwice.Synthetic;
using ReadTwice.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Training;

/// <summary>Gradients reach all that a model is made of: every published form learns a little associative recall.</summary>
public sealed class LearningTests : IDisposable
{
    private const int B = 8, T = 24, Pairs = 4, Vocabulary = 40, Steps = 20;

    private static readonly AdamW optimizer = new(0.9, 0.95, 1e-8, 0);
    private readonly DisposeScope scope = NewDisposeScope();

    public LearningTests() => Native.Libtorch.Threads = 1;

    /// <summary>The forms' names.</summary>
    public static TheoryData<string> Families => TestModels.Families;

    public void Dispose() => scope.Dispose();

    [Theory, MemberData(nameof(Families))]
    public void Every_parameter_learns_and_the_loss_of_associative_recall_falls(string family)
    {
        using var checkpoint = TestModels.Of(family);
        var model = checkpoint.Model;
        model.train();
        var parameters = TrainingSetup.Parameters(model, decayNorms: false);
        var batch = Draw((int)TestModels.Prefix(model, 2 * Pairs));
        var losses = new List<double>();
        for (int step = 1; step <= Steps; step++)
        {
            using var update = NewDisposeScope();
            var (loss, parts) = PrefixLoss.Of(model, batch, maskWeight: 0);
            loss.backward();
            foreach (var parameter in parameters) parameter.TakeGradient(1);
            if (step == 1) Assert.Equal("", string.Join(' ', parameters.Where(parameter => parameter.Parameter.requires_grad && parameter.Gradient.All(value => value == 0)).Select(parameter => parameter.Name)));
            double norm = AdamW.Norm(parameters);
            Assert.True(double.IsFinite(norm), $"the gradient's norm is {norm} in step {step}");
            optimizer.Update(parameters, 0.01, step, 1 / Math.Max(1, norm));
            losses.Add(parts.Next);
        }
        Assert.True(losses[^1] < 0.7 * losses[0], $"from {losses[0]:0.00} to {losses[^1]:0.00}");
    }

    private static TrainingBatch Draw(int prefix)
    {
        var random = new Random(7);
        var examples = Enumerable.Range(0, B).Select(_ => new AssociativeRecall(Vocabulary).Draw(Pairs, T, random)).ToList();
        var labels = examples.SelectMany((example, b) => example.Labels.Select((label, t) => new Label(b * T + t, label, 1)))
            .Where(label => label.Id != SyntheticExample.NoLabel);
        return new(B, T, prefix, [.. examples.SelectMany(example => example.Tokens).Select(token => (long)token)], [.. labels], []);
    }
}
