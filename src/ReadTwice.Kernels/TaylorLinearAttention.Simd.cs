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

    internal static unsafe void SimdBackward(
        TaylorKernel kernel, AttentionSizes sizes, float scale, In q, In k, In v, In mask, In o, In den, In S0, In z0, In dO,
        In dS, In dz, Ref dq, Ref dk, Ref dv, Ref dS0, Ref dz0, int threads)
    {
        var (_, T, H, K, V) = sizes;
        dS0.Clear();
        dz0.Clear();
        dS.CopyTo(dS0);
        dz.CopyTo(dz0);
        fixed (float* atQ = q, atK = k, atV = v, atMask = mask, atO = o, atDen = den, atS = S0, atZ = z0)
        fixed (float* atDO = dO, atDQ = dq, atDK = dk, atDV = dv, atDS = dS0, atDZ = dz0)
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
            var cotangents = new TaylorCotangents
            {
                States = new TaylorStates { Sizes = sizes, Pieces = 1, S = atDS, Z = atDZ },
                DO = new(atDO, T, H, V),
                DQ = new(atDQ, T, H, K),
                DK = new(atDK, T, H, K),
                DV = new(atDV, T, H, V),
            };
            kernel.ReadBackward(operands, cotangents, Workers.Count(threads));
        }
    }
}
