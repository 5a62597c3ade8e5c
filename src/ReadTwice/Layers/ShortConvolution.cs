using ReadTwice.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>A short causal filter of K taps for each channel, with an optional bias and activation.</summary>
/// <remarks>[B, T, C] -> [B, T, C]; remembers the last K - 1 inputs, oldest first, as [B, C, K - 1].</remarks>
public sealed class ShortConvolution : nn.Module<Tensor, Tensor, Tensor>
{
    private readonly Parameter weight;
    private readonly Parameter? bias;
    private readonly bool silu;
    private readonly Func<Tensor, Tensor>? activation;

    /// <summary>A filter of weight [C, 1, K].</summary>
    /// <param name="weights">The filter's part of the source.</param>
    /// <param name="C">Channels.</param>
    /// <param name="K">Taps.</param>
    /// <param name="bias">Whether it has a bias.</param>
    /// <param name="activation">What follows it; null for nothing.</param>
    public ShortConvolution(WeightSource weights, long C, long K, bool bias, string? activation = null) : base(nameof(ShortConvolution))
    {
        if (K < 1) throw new InvalidDataException($"config.json: a convolution has {K} taps; at least 1 is needed.");
        weight = weights.Tensor(nameof(weight), [C, 1, K], Init.Uniform(1 / Math.Sqrt(K)));
        if (bias) this.bias = weights.Vector(nameof(bias), C, Init.Uniform(1 / Math.Sqrt(K)));
        silu = Activation.IsSilu(activation);
        if (activation is not null && !silu) this.activation = Activation.Named(activation);
        RegisterComponents();
    }

    /// <summary>Nothing read: zeros, [B, C, K - 1].</summary>
    public Tensor NewState(long B) => zeros(B, weight.size(0), weight.size(2) - 1);

    /// <summary>Filters x; the state is replaced by the last inputs, to be taken over by the caller.</summary>
    /// <param name="x">[B, T, C].</param>
    /// <param name="state">The last inputs before x.</param>
    /// <param name="gate">What the result is multiplied by, [B, T, C]; null for nothing.</param>
    public (Tensor Y, Tensor State) Read(Tensor x, Tensor state, Tensor? gate = null)
    {
        if (activation is null) return Ops.ShortConvolution(x, weight, bias, state, silu, gate);
        using var scope = NewDisposeScope();
        var (y, next) = Ops.ShortConvolution(x, weight, bias, state);
        y = activation(y);
        return ((gate is null ? y.alias() : y * gate).MoveToOuterDisposeScope(), next.MoveToOuterDisposeScope());
    }

    /// <summary>Filters the first half of [B, T, 2 C] and gates it with the second; see <see cref="Ops.GatedConvolution"/>.</summary>
    public (Tensor Y, Tensor State) ReadGated(Tensor uw, Tensor state, Tensor? mask) => Ops.GatedConvolution(uw, weight, bias, state, mask);

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Tensor state)
    {
        var (y, next) = Read(x, state);
        next.Dispose();
        return y;
    }
}
