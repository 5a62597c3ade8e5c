using ReadTwice.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>up(act(down(x))), a projection through a few channels.</summary>
public sealed class LowRank : nn.Module<Tensor, Tensor>
{
    private readonly Linear down;
    private readonly Func<Tensor, Tensor>? activation;
    private readonly Linear up;

    /// <summary>Takes the matrices {down}.weight [R, inputs] and {up}.weight [outputs, R] from the source, R being what is stored there.</summary>
    /// <param name="weights">The part of the source that holds both.</param>
    /// <param name="down">The name of the first.</param>
    /// <param name="up">The name of the second.</param>
    /// <param name="inputs">Channels of x.</param>
    /// <param name="R">Channels between, where nothing is stored.</param>
    /// <param name="outputs">Channels that it gives.</param>
    /// <param name="activation">What stands between; null for nothing.</param>
    /// <param name="bias">How the second's bias starts; null for none.</param>
    public LowRank(
        WeightSource weights, string down, string up, long inputs, long R, long outputs,
        Func<Tensor, Tensor>? activation = null, Init? bias = null) : base(nameof(LowRank))
    {
        R = weights.SizeOf($"{down}.weight", 0, R);
        this.down = weights.Linear(down, inputs, R);
        this.activation = activation;
        this.up = weights.Linear(weights.Matrix($"{up}.weight", outputs, R), bias is null ? null : weights.Vector($"{up}.bias", outputs, bias));
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        var inner = down.call(x);
        return up.call(activation is null ? inner : activation(inner)).MoveToOuterDisposeScope();
    }
}
