using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>x ← x + mixer(norm(x)), then x ← x + mlp(norm2(x)) where there is an MLP. The residual stream is float32.</summary>
public sealed class ResidualBlock(
    nn.Module<Tensor, Tensor> norm, SequenceMixer mixer, nn.Module<Tensor, Tensor>? norm2 = null, nn.Module<Tensor, Tensor>? mlp = null)
    : SequenceModule
{
    private readonly nn.Module<Tensor, Tensor> norm = norm;
    private readonly SequenceMixer mixer = mixer;
    private readonly nn.Module<Tensor, Tensor>? norm2 = norm2;
    private readonly nn.Module<Tensor, Tensor>? mlp = mlp;

    /// <inheritdoc/>
    public override bool ReadsPrefix => mixer.ReadsPrefix;

    /// <inheritdoc/>
    public override long StateBytesPerToken => mixer.StateBytesPerToken;

    /// <inheritdoc/>
    public override string Kind => mixer.Kind;

    /// <inheritdoc/>
    public override LayerState NewState(long B) => mixer.NewState(B);

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, Tensor> AsPublished(LayerState state, long position) => mixer.AsPublished(state, position);

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var mixed = mixer.call(norm.call(x), pass);
        if (mlp is null) return x.Plus(mixed).MoveToOuterDisposeScope();
        var (sum, normalised) = Add(x, mixed);
        return sum.Plus(mlp.call(normalised)).MoveToOuterDisposeScope();
    }

    private (Tensor Sum, Tensor Normalised) Add(Tensor x, Tensor mixed)
    {
        if (norm2 is RmsNorm fused) return fused.OfSum(x, mixed);
        var sum = x.Plus(mixed);
        return (sum, norm2!.call(sum));
    }
}
