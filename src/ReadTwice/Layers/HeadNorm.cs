using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>(x - mean) / √(variance + ε) · w + b, with mean and variance over the channels of each head.</summary>
/// <remarks>[B, T, n] -> [B, T, n].</remarks>
public sealed class HeadNorm : nn.Module<Tensor, Tensor>
{
    private readonly Parameter weight;
    private readonly Parameter bias;
    private readonly long heads;
    private readonly double epsilon;

    /// <summary>A norm over the channels of the weight, [n].</summary>
    public HeadNorm(Parameter weight, Parameter bias, long heads, double epsilon) : base(nameof(HeadNorm))
    {
        (this.weight, this.bias, this.heads, this.epsilon) = (weight, bias, heads, epsilon);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        return nn.functional.group_norm(x.flatten(0, 1), heads, weight, bias, epsilon).view(x.shape).MoveToOuterDisposeScope();
    }
}
