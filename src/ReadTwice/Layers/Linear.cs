using ReadTwice.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>y = x Wᵀ + b.</summary>
/// <remarks>
/// x [.., inputs] and y [.., outputs] are float32; the weight [outputs, inputs] may be bfloat16, and then products with many rows
/// are. While not in training, products without a gradient are made with a packed copy of the weight that the layer owns.
/// </remarks>
public sealed class Linear : nn.Module<Tensor, Tensor>
{
    private readonly Parameter weight;
    private readonly Parameter? bias;
    private readonly PackedWeight packed;

    /// <summary>Takes over a weight [outputs, inputs] and a bias [outputs].</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="bias">The bias; null for none.</param>
    /// <param name="quantization">What the packed copy is rounded to.</param>
    public Linear(Parameter weight, Parameter? bias = null, Quantization quantization = Quantization.None) : base(nameof(Linear))
    {
        packed = new(quantization);
        this.weight = weight;
        this.bias = bias;
        RegisterComponents();
    }

    /// <summary>The weight, [outputs, inputs].</summary>
    public Tensor Weight => weight;

    /// <summary>The size of the packed copy of the weight, in bytes; 0 where none was made.</summary>
    public long PackedBytes => packed.Bytes;

    /// <inheritdoc/>
    public override Tensor forward(Tensor x) => training ? Ops.Linear(x, weight, bias) : Ops.Linear(x, weight, bias, packed);

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (disposing) packed.Dispose();
    }
}

/// <summary>Rows of a table, chosen by index: [..] -> [.., D], float32.</summary>
public sealed class Embedding : nn.Module<Tensor, Tensor>
{
    private readonly Parameter weight;

    /// <summary>Takes over a table [rows, D].</summary>
    public Embedding(Parameter weight) : base(nameof(Embedding))
    {
        this.weight = weight;
        RegisterComponents();
    }

    /// <summary>The table, [rows, D].</summary>
    public Parameter Weight => weight;

    /// <inheritdoc/>
    public override Tensor forward(Tensor ids)
    {
        using var scope = NewDisposeScope();
        var rows = weight.index_select(0, ids.flatten()).to(ScalarType.Float32);
        return rows.view([.. ids.shape, rows.size(1)]).MoveToOuterDisposeScope();
    }
}
