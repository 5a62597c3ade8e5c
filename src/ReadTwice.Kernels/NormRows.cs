using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>Normalises row by row: one pass that adds and squares, and one over what is near by then.</summary>
internal static unsafe class NormRows<L> where L : struct, ILanes<L>
{
    public static void Forward(NormOperands operands, int threads)
    {
        var (rows, groups, n, epsilon, offset) = operands.Sizes;
        using var scratch = Weights(operands, out nint weight);
        RowWork.Run(rows, RowWork.Parts(rows, groups * n, threads), (_, first, next) =>
        {
            for (nint group = (nint)first * groups; group < (nint)next * groups; group++)
            {
                float* x = operands.X + group * n, y = operands.Y + group * n, own = (float*)weight + group % groups * n;
                if (operands.Added != null)
                {
                    float* sum = operands.Sum + group * n;
                    Add(n, x, operands.Added + group * n, sum);
                    x = sum;
                }
                Scale(n, x, 1 / MathF.Sqrt(Dot(n, x, x) / n + epsilon), own, y);
            }
        });
    }

    public static void Backward(NormOperands operands, float* dx, float* dWeight, int threads)
    {
        var (rows, groups, n, epsilon, _) = operands.Sizes;
        int parts = RowWork.Parts(rows, groups * n, threads), all = groups * n;
        using var weights = Weights(operands, out nint weight);
        // Every part has rows of its own, but all rows add to the gradient of the weight.
        using var scratch = Scratch.For(scratch => (nint)scratch.Take(checked(parts * all)), out nint sums);
        new Ref((float*)sums, parts * all).Clear();
        nint toX = (nint)dx;
        RowWork.Run(rows, parts, (part, first, next) =>
        {
            using var product = Scratch.For(scratch => (nint)scratch.Take(n), out nint weighted);
            for (nint group = (nint)first * groups; group < (nint)next * groups; group++)
            {
                float* x = operands.X + group * n, dy = operands.Y + group * n, own = (float*)weight + group % groups * n;
                float scale = 1 / MathF.Sqrt(Dot(n, x, x) / n + epsilon);
                Scale(n, dy, scale, own, (float*)weighted);
                float along = -scale * scale * Dot(n, x, (float*)weighted) / n;
                Combine(
                    n, x, along, (float*)weighted, operands.Sum == null ? null : operands.Sum + group * n, (float*)toX + group * n,
                    dy, scale, (float*)sums + (nint)part * all + group % groups * n);
            }
        });
        if (dWeight == null) return;
        new In((float*)sums, all).CopyTo(new(dWeight, all));
        for (int part = 1; part < parts; part++) Add(all, dWeight, (float*)sums + part * all, dWeight);
    }

    /// <summary>The weights with their offset, [Groups, N]: those that were given, where nothing is added to them.</summary>
    private static Scratch? Weights(NormOperands operands, out nint weights)
    {
        weights = (nint)operands.Weight;
        if (operands.Weight != null && operands.Sizes.Offset == 0) return null;
        int all = operands.Sizes.Groups * operands.Sizes.N;
        var scratch = Scratch.For(scratch => (nint)scratch.Take(all), out weights);
        for (int i = 0; i < all; i++) ((float*)weights)[i] = operands.Weight == null ? 1 : operands.Weight[i] + operands.Sizes.Offset;
        return scratch;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Add(nint n, float* a, float* b, float* to)
    {
        // The end is not met twice, as elsewhere: to may be a.
        nint i = 0;
        for (; i <= n - L.Count; i += L.Count) (L.Load(a + i) + L.Load(b + i)).Store(to + i);
        for (; i < n; i++) to[i] = a[i] + b[i];
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Dot(nint n, float* a, float* b)
    {
        L even = default, odd = default;
        nint i = 0;
        for (; i <= n - 2 * L.Count; i += 2 * L.Count)
        {
            even = L.MultiplyAdd(L.Load(a + i), L.Load(b + i), even);
            odd = L.MultiplyAdd(L.Load(a + i + L.Count), L.Load(b + i + L.Count), odd);
        }
        for (; i < n; i += L.Count)
        {
            nint from = Math.Min(i, n - L.Count);
            even = L.MultiplyAdd(L.From(L.Load(a + from), (int)(i - from)), L.Load(b + from), even);
        }
        return L.Sum(even + odd);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scale(nint n, float* x, float factor, float* weight, float* y)
    {
        L factors = L.Create(factor);
        for (nint at = 0; at < n; at += L.Count)
        {
            nint i = Math.Min(at, n - L.Count);
            (L.Load(x + i) * factors * L.Load(weight + i)).Store(y + i);
        }
    }

    /// <summary>dx ← along · x + weighted + dsum, dw ← dw + scale · x ⊙ dy.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Combine(nint n, float* x, float along, float* weighted, float* dSum, float* dx, float* dy, float scale, float* dWeight)
    {
        for (nint at = 0; at < n; at += L.Count)
        {
            nint i = Math.Min(at, n - L.Count);
            L value = L.Load(x + i), gradient = L.MultiplyAdd(L.Create(along), value, L.Load(weighted + i));
            if (dSum != null) gradient += L.Load(dSum + i);
            gradient.Store(dx + i);
            L.MultiplyAdd(L.From(value * L.Create(scale), (int)(at - i)), L.Load(dy + i), L.Load(dWeight + i)).Store(dWeight + i);
        }
    }
}
