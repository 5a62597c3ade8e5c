using System.Runtime.Intrinsics;

namespace ReadTwice.Kernels;

/// <summary>Where the operands of y = x Wᵀ + b lie: x [M, K], the packed W, b [N] or null, y [M, N].</summary>
internal readonly unsafe struct ProductOperands(Panels panels, byte* weights, int M, float* x, float* bias, float* y)
{
    public readonly Panels Panels = panels;
    public readonly byte* Weights = weights;
    public readonly int M = M;
    public readonly float* X = x, Bias = bias, Y = y;
}

/// <summary>The fast form of products with packed matrices, at one width of the registers.</summary>
internal abstract class ProductKernel
{
    /// <summary>The one place that picks a width: the widest that this processor has.</summary>
    public static ProductKernel Widest() =>
        Vector512.IsHardwareAccelerated ? new ProductKernel<Lanes512>()
        : Vector256.IsHardwareAccelerated ? new ProductKernel<Lanes256>()
        : new ProductKernel<Lanes128>();

    public abstract void Multiply(ProductOperands operands, int threads);
}

internal sealed class ProductKernel<L> : ProductKernel where L : struct, ILanes<L>
{
    public override void Multiply(ProductOperands operands, int threads)
    {
        if (operands.M <= PanelStream<L>.MostRows) PanelStream<L>.Multiply(operands, threads);
        else PanelProduct<L>.Multiply(operands, threads);
    }
}
