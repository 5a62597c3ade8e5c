namespace ReadTwice.Kernels;

/// <summary>The sizes of one call of linear attention: queries and keys are [B, T, H, K], values [B, T, H, V].</summary>
public readonly record struct AttentionSizes(int B, int T, int H, int K, int V)
{
    /// <summary>Width of the features of a key: the state is S [B, H, F, V] and z [B, H, F].</summary>
    public int F => TaylorFeatureMap.Width(K);
}
