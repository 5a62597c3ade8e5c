namespace ReadTwice.Kernels;

public static partial class TaylorLinearAttention
{
    internal static unsafe void Simd(
        TaylorKernel kernel, AttentionSizes sizes, float scale, In q, In k, In v, In mask, Ref S, Ref z, Ref o, Ref den, int threads)
    {
        var (_, T, H, K, V) = sizes;
        fixed (float* atQ = q, atK = k, atV = v, atMask = mask, atS = S, atZ = z, atO = o, atDen = den)
        {
            var operands = new TaylorOperands
            {
                Sizes = sizes,
                Scale = scale,
                Keys = new TaylorKeys(T, new(atK, T, H, K), new(atV, T, H, V), new(atMask, T, 1, 1)),
                States = new TaylorStates { Sizes = sizes, Pieces = 1, S = atS, Z = atZ },
                Q = new(atQ, T, H, K),
                O = new(atO, T, H, V),
                Den = new(atDen, T, H, 1),
            };
            kernel.Read(operands, Workers.Count(threads));
        }
    }
}
