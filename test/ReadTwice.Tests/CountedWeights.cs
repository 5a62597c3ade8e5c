using ReadTwice.Checkpoints;
using static TorchSharp.torch;

namespace ReadTwice.Tests;

/// <summary>Weights that know how many were taken.</summary>
internal sealed class CountedWeights(IWeights inner) : IWeights
{
    public int Taken { get; private set; }

    public string Hash => inner.Hash;

    public long[]? ShapeOf(string name) => inner.ShapeOf(name);

    public void Skip(string name) => inner.Skip(name);

    public Tensor Take(string name, long[] shape, Init init, bool ofProducts)
    {
        Taken++;
        return inner.Take(name, shape, init, ofProducts);
    }

    public void Dispose() => inner.Dispose();
}
