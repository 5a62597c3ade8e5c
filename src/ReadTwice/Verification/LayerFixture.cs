using ReadTwice.Checkpoints;
using ReadTwice.Models;
using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Verification;

/// <summary>
/// A single layer with what the authors' code computes for it: config.json that names the layer, its weights, and in
/// expected.safetensors hidden_states, output, and the gradients of sum(output · do) to the input and to every parameter.
/// </summary>
internal static class LayerFixture
{
    // Float32 sums in another order, relative to the largest value; quadratic features double it.
    private static readonly Tolerance tolerance = new(0, 2e-5);

    /// <summary>Whether a folder holds a layer and not a model.</summary>
    public static bool Is(string folder) =>
        File.Exists(Path.Combine(folder, "config.json")) && ConfigJson.Load(Path.Combine(folder, "config.json")).Has("layer");

    /// <summary>Runs a layer's folder.</summary>
    public static IReadOnlyList<Comparison> Run(string folder)
    {
        var config = ConfigJson.Load(Path.Combine(folder, "config.json"));
        string name = config.String("layer");
        var layer = SingleLayer.All.FirstOrDefault(each => each.Name == name)
            ?? throw new InvalidDataException($"{config.Where("layer")} is \"{OneLine.Of(name)}\"; known: {string.Join(", ", SingleLayer.All.Select(each => each.Name))}.");
        var names = new CheckpointFamily(name, (_, _) => false, (_, _) => throw new NotSupportedException(), layer.Parameters) { Example = "{}" };
        using var files = WeightFiles.Open(Path.Combine(folder, "expected.safetensors"));
        using var weights = new WeightSource(new CheckpointWeights(WeightFiles.Open(folder), config, names with { Tensors = [] }, ScalarType.Float32));
        using var scope = NewDisposeScope();
        var expected = files.Tensors.ToDictionary(entry => entry.Key, entry => TensorMemory.Map(entry.Value));
        Tensor Expected(string tensor) => expected.TryGetValue(tensor, out var found) ? found
            : throw new InvalidDataException($"{folder}: expected.safetensors has no tensor {tensor}.");

        using var mixer = layer.Build(config, weights);
        var x = Expected("hidden_states").clone().requires_grad_();
        using var state = mixer.NewState(x.size(0));
        var output = mixer.call(x, new Pass(state));
        (output * Expected("do")).sum().backward();

        var results = new List<Comparison>
        {
            Comparison.Of(name, "output", output.detach(), Expected("output"), tolerance),
            Comparison.Of(name, "gradient of hidden_states", x.grad!, Expected("d.hidden_states"), tolerance),
        };
        foreach (var (ours, parameter) in mixer.named_parameters())
            results.Add(Comparison.Of(name, $"gradient of {names.Theirs(ours)}", parameter.grad!, Expected($"d.{names.Theirs(ours)}"), tolerance));
        return results;
    }
}
