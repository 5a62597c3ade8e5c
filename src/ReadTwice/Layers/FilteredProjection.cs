using ReadTwice.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>A projection without a bias and, where the config asks for it, a short causal filter over what it gives.</summary>
/// <remarks>
/// [B, T, D] -> [B, T, width]; the filter's state is conv_{name} [B, width, taps - 1]. Padding enters the filter as zeros, as what
/// stands before a text does; where the filter has a bias, what it gives there is not zero.
/// </remarks>
public sealed class FilteredProjection : nn.Module<Tensor, Pass, Tensor>
{
    private readonly Linear proj;
    private readonly ShortConvolution? conv1d;
    private readonly string state;

    /// <summary>Takes {name}_proj and, with taps, {name}_conv1d from the source.</summary>
    /// <param name="weights">The mixer's part of the source.</param>
    /// <param name="name">q, k, v or what else the authors call it.</param>
    /// <param name="D">Model width.</param>
    /// <param name="width">Channels that it gives.</param>
    /// <param name="taps">Taps of the filter; 0 for none.</param>
    /// <param name="activation">What follows the filter, and only the filter; null for nothing.</param>
    public FilteredProjection(WeightSource weights, string name, long D, long width, long taps, string? activation = null) : base(nameof(FilteredProjection))
    {
        state = $"conv_{name}";
        proj = weights.Linear($"{name}_proj", D, width);
        if (taps != 0) conv1d = new(weights.In($"{name}_conv1d"), width, taps, weights.Has($"{name}_conv1d.bias"), activation);
        RegisterComponents();
    }

    /// <summary>Puts the state of nothing read where a mixer makes its own.</summary>
    public void AddTo(LayerState layer, long B)
    {
        if (conv1d is not null) layer[state] = conv1d.NewState(B);
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var y = proj.call(x);
        if (conv1d is null) return y.MoveToOuterDisposeScope();
        if (pass.Mask is { } mask) y = y * mask.unsqueeze(-1);
        (y, pass.State[state]) = conv1d.Read(y, pass.State[state]);
        return y.MoveToOuterDisposeScope();
    }
}
