using System.Security.Cryptography;
using System.Text;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Checkpoints;

/// <summary>Where a model under construction takes its parameters from: a checkpoint, or fresh random values.</summary>
/// <remarks>Names are ours: the path of field names from the model to the parameter, joined by dots.</remarks>
public sealed class WeightSource : IDisposable
{
    private readonly IWeights weights;
    private readonly Quantization quantization;
    private readonly string prefix;

    private readonly (string Ours, string Here)[] aliases;
    private readonly List<(string Name, Parameter Parameter)> made;

    private readonly Device device;

    internal WeightSource(IWeights weights, Quantization quantization = Quantization.None, Device? device = null)
        : this(weights, quantization, device ?? CPU, "", [], [])
    {
    }

    private WeightSource(
        IWeights weights, Quantization quantization, Device device, string prefix, (string Ours, string Here)[] aliases, List<(string, Parameter)> made) =>
        (this.weights, this.quantization, this.device, this.prefix, this.aliases, this.made) = (weights, quantization, device, prefix, aliases, made);

    /// <summary>Every parameter that was taken from the source, whatever part of the model took it, under its name in the source.</summary>
    public IReadOnlyList<(string Name, Parameter Parameter)> Made => made;

    /// <summary>A hash of the weights and their config, in hexadecimal.</summary>
    public string Hash => weights.Hash;

    /// <summary>The same source, seen from a part of the model.</summary>
    public WeightSource In(string part) => new(weights, quantization, device, $"{Full(part)}.", [], made);

    /// <summary>The same source, where some parts go by another name: a layer that several formats share.</summary>
    public WeightSource As(params (string Ours, string Here)[] names) => new(weights, quantization, device, prefix, names, made);

    /// <summary>Whether the source has this parameter; fresh weights have none, so a config must say what exists.</summary>
    public bool Has(string name) => weights.ShapeOf(Full(name)) is not null;

    /// <summary>A size that the config leaves open, read from the stored shape; fresh weights take the other value.</summary>
    public long SizeOf(string name, int axis, long otherwise) =>
        weights.ShapeOf(Full(name)) is { } shape && axis < shape.Length ? shape[axis] : otherwise;

    /// <summary>Marks a parameter as known though nothing of it is used.</summary>
    public void Skip(string name) => weights.Skip(Full(name));

    /// <summary>A matrix that products are made with, [rows, columns], in the type the model is kept in.</summary>
    public Parameter Matrix(string name, long rows, long columns, Init? init = null) =>
        Make(name, [rows, columns], init ?? Init.Normal(0.02), ofProducts: true);

    /// <summary>A vector, [n], float32.</summary>
    public Parameter Vector(string name, long n, Init? init = null) => Make(name, [n], init ?? Init.Zeros, ofProducts: false);

    /// <summary>A tensor of any shape, float32.</summary>
    public Parameter Tensor(string name, long[] shape, Init? init = null) => Make(name, shape, init ?? Init.Normal(0.02), ofProducts: false);

    /// <summary>A linear layer of weight [outputs, inputs].</summary>
    public Linear Linear(string name, long inputs, long outputs, bool bias = false, Init? init = null) => Linear(
        Matrix($"{name}.weight", outputs, inputs, init), bias ? Vector($"{name}.bias", outputs) : null);

    /// <summary>A linear layer of parameters that were taken before, quantized as the source's layers are.</summary>
    public Linear Linear(Parameter weight, Parameter? bias) => new(weight, bias, quantization);

    /// <summary>A table of rows, [rows, columns].</summary>
    public Embedding Embedding(string name, long rows, long columns) => new(Matrix($"{name}.weight", rows, columns));

    /// <summary>Root-mean-square norm over n channels.</summary>
    public RmsNorm RmsNorm(string name, long n, double epsilon) => new(Vector($"{name}.weight", n, Init.Ones), epsilon);

    /// <summary>Layer norm over n channels.</summary>
    public LayerNorm LayerNorm(string name, long n, double epsilon, bool bias = true) =>
        new(Vector($"{name}.weight", n, Init.Ones), bias ? Vector($"{name}.bias", n) : null, epsilon);

    /// <inheritdoc/>
    public void Dispose() => weights.Dispose();

    private string Full(string name)
    {
        foreach (var (ours, here) in aliases)
            if (name == ours || name.StartsWith(ours + ".", StringComparison.Ordinal)) return prefix + here + name[ours.Length..];
        return prefix + name;
    }

    private Parameter Make(string name, long[] shape, Init init, bool ofProducts)
    {
        var tensor = weights.Take(Full(name), shape, init, ofProducts);
        if (device.type != DeviceType.CPU)
        {
            using var there = tensor;
            tensor = there.to(device);
        }
        var parameter = new Parameter(tensor);
        made.Add((Full(name), parameter));
        return parameter;
    }
}

/// <summary>How a parameter starts when a model is trained from the beginning.</summary>
public sealed class Init(string name, Action<Tensor, torch.Generator> fill)
{
    /// <summary>All zero.</summary>
    public static readonly Init Zeros = new("zeros", (tensor, _) => tensor.zero_());

    /// <summary>All one.</summary>
    public static readonly Init Ones = new("ones", (tensor, _) => tensor.fill_(Number(1)));

    /// <summary>Normal with mean zero.</summary>
    public static Init Normal(double std) => new($"normal {std}", (tensor, chance) => tensor.normal_(0, std, chance));

    /// <summary>Uniform between -bound and bound.</summary>
    public static Init Uniform(double bound) => new($"uniform {bound}", (tensor, chance) => tensor.uniform_(-bound, bound, chance));

    /// <summary>Values that the caller computes, in the shape of the parameter.</summary>
    public static Init Values(Func<Tensor> make) => new("values", (tensor, _) => tensor.copy_(make()));

    /// <summary>Values that the caller makes of random numbers, [n], spread evenly between 0 and 1.</summary>
    public static Init Drawn(long n, Func<Tensor, Tensor> make) => new("drawn", (tensor, chance) => tensor.copy_(make(rand(n, generator: chance))));

    /// <summary>Fills a parameter in place, drawing from a generator that nobody else draws from, so that a seed decides.</summary>
    public void Fill(Tensor parameter, torch.Generator chance)
    {
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        fill(parameter, chance);
    }

    /// <inheritdoc/>
    public override string ToString() => name;
}

/// <summary>Named tensors that a model is built from.</summary>
internal interface IWeights : IDisposable
{
    string Hash { get; }
    long[]? ShapeOf(string name);
    void Skip(string name);
    Tensor Take(string name, long[] shape, Init init, bool ofProducts);
}

/// <summary>Parameters drawn at random, in the order they are asked for.</summary>
internal sealed class FreshWeights : IWeights
{
    private readonly ScalarType type;
    private readonly torch.Generator chance;

    public FreshWeights(ConfigJson config, int seed, ScalarType type)
    {
        this.type = type;
        Hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{config} seed {seed}")));
        chance = new((ulong)seed);
    }

    public string Hash { get; }

    public long[]? ShapeOf(string name) => null;

    public void Skip(string name)
    {
    }

    public Tensor Take(string name, long[] shape, Init init, bool ofProducts)
    {
        using var scope = NewDisposeScope();
        var tensor = empty(shape);
        init.Fill(tensor, chance);
        return tensor.to(ofProducts ? type : ScalarType.Float32).DetachFromDisposeScope();
    }

    public void Dispose() => chance.Dispose();
}
