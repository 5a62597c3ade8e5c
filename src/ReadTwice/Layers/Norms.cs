using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>x / √(mean(x²) + ε) · w over the last axis; the mean may be taken over groups of channels.</summary>
public sealed class RmsNorm : nn.Module<Tensor, Tensor>
{
    private readonly Parameter? weight;
    private readonly double epsilon;
    private readonly long groups;
    private readonly double offset;

    /// <summary>A norm over the channels of the weight.</summary>
    /// <param name="weight">[n]; null for a norm without.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="groups">How many equal groups of neighbouring channels are normalised apart.</param>
    /// <param name="offset">Added to the weight: Gemma multiplies by 1 + w.</param>
    public RmsNorm(Parameter? weight, double epsilon, long groups = 1, double offset = 0) : base(nameof(RmsNorm))
    {
        (this.weight, this.epsilon, this.groups, this.offset) = (weight, epsilon, groups, offset);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x) => Ops.RmsNorm(x, weight, epsilon, groups, offset);

    /// <summary>The sum of two, and that sum normalised.</summary>
    public (Tensor Sum, Tensor Normalised) OfSum(Tensor x, Tensor added) => Ops.RmsNormOfSum(x, added, weight, epsilon, groups, offset);
}

/// <summary>(x - mean) / √(variance + ε) · w + b over the last axis.</summary>
public sealed class LayerNorm : nn.Module<Tensor, Tensor>
{
    private readonly Parameter weight;
    private readonly Parameter? bias;
    private readonly double epsilon;

    /// <summary>A norm over the channels of the weight, [n].</summary>
    public LayerNorm(Parameter weight, Parameter? bias, double epsilon) : base(nameof(LayerNorm))
    {
        (this.weight, this.bias, this.epsilon) = (weight, bias, epsilon);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x) => nn.functional.layer_norm(x, [weight.size(0)], weight, bias, epsilon);
}
