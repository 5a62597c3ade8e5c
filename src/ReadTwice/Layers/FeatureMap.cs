using ReadTwice.Checkpoints;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>A map of queries and keys before linear attention, under the names that configs use; some have parameters.</summary>
/// <remarks>[.., K] -> [.., <see cref="Width"/>].</remarks>
public sealed class FeatureMap : nn.Module<Tensor, Tensor>
{
    private const int Rolls = 4;

    private readonly Linear? layer;
    private readonly Linear? layer1;
    private readonly Linear? layer2;
    private readonly Func<Tensor, Tensor> map;

    /// <summary>The map of this name over heads of width K.</summary>
    /// <exception cref="InvalidDataException">The name is not known.</exception>
    public FeatureMap(WeightSource weights, string name, long K) : base(nameof(FeatureMap))
    {
        Width = K;
        if (name is "hedgehog" or "t2r") layer = weights.Linear(nameof(layer), K, K, bias: name == "hedgehog");
        if (name == "elementwise_product")
            (layer1, layer2) = (weights.Linear(nameof(layer1), K, K, bias: true), weights.Linear(nameof(layer2), K, K, bias: true));
        switch (name)
        {
            case "identity": map = x => x.alias(); break;
            case "elu": map = x => x.EluPlusOne(); break;
            case "relu" or "swish": map = Activation.Named(name); break;
            case "t2r": map = x => layer!.call(x).relu(); break;
            case "elementwise_product": map = x => layer1!.call(x) * layer2!.call(x); break;
            case "hedgehog": (map, Width) = (Hedgehog, 2 * K); break;
            case "dpfp": (map, Width) = (ParameterFree, 2 * K * Rolls); break;
            default:
                throw new InvalidDataException(
                    $"config.json: the feature map \"{OneLine.Of(name)}\" is not known. Known: elementwise_product, hedgehog, t2r, dpfp, elu, relu, swish, identity.");
        }
        RegisterComponents();
    }

    /// <summary>How many features it gives.</summary>
    public long Width { get; }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        return map(x).MoveToOuterDisposeScope();
    }

    private Tensor Hedgehog(Tensor x)
    {
        var y = layer!.call(x) * Number(2);
        return cat([y, -y], -1).softmax(-1);
    }

    // Products of neighbouring features (arXiv 2102.11174). The second half is -relu(x), as the released models were trained, not relu(-x).
    private static Tensor ParameterFree(Tensor x)
    {
        var z = cat([x.relu(), -x.relu()], -1);
        return cat([.. Enumerable.Range(1, Rolls).Select(by => z * z.roll(by, -1))], -1);
    }
}
