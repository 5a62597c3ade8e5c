using System.Collections.Concurrent;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Native;

/// <summary>Numbers as libtorch takes them, alive for as long as it may read them.</summary>
/// <remarks>
/// TorchSharp makes a native object of every number that meets a tensor and holds it only until the call begins: a collection on another
/// thread may free it while libtorch still reads it. Those made here are kept for the life of the process, so they are for constants and
/// settings; numbers that change with every call, such as positions, must not come here. TorchSharp's own sums make such an object too,
/// for the factor of the second term, also between two tensors; <see cref="Plus(Tensor, Tensor)"/> does not.
/// </remarks>
internal static class Numbers
{
    // Apart, because the type decides what a whole-numbered tensor becomes.
    private static readonly ConcurrentDictionary<double, Scalar> fractions = new();
    private static readonly ConcurrentDictionary<long, Scalar> wholes = new();

#pragma warning disable RS0030 // the one place that makes them
    public static Scalar Number(double value) => fractions.GetOrAdd(value, static value => value);

    public static Scalar Number(long value) => wholes.GetOrAdd(value, static value => value);

    /// <summary>The whole numbers from one up to, and without, another: [to - from], int64.</summary>
    public static Tensor Integers(long from, long to, Device? device = null)
    {
        using Scalar first = from, end = to;
        return arange(first, end, Number(1), ScalarType.Int64, device);
    }
#pragma warning restore RS0030

    public static Tensor Plus(this Tensor x, Tensor y) => x.add(y, Number(1));

    public static Tensor Plus(this Tensor x, double y) => x.add(Number(y), Number(1));

    public static Tensor Plus(this Tensor x, long y) => x.add(Number(y), Number(1));

    /// <summary>log(1 + exp(x)), from a function of libtorch's that takes no numbers.</summary>
    public static Tensor Softplus(this Tensor x) => nn.functional.logsigmoid(x.neg()).neg();

    /// <summary>x + 1 above zero and exp(x) below: elu(x) + 1.</summary>
    public static Tensor EluPlusOne(this Tensor x) => x.relu().Plus(x.clamp_max(Number(0)).exp());
}
