using ReadTwice.Checkpoints;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Layers;

/// <summary>Nonlinearities under the names that configs use.</summary>
public static class Activation
{
    /// <summary>The function of this name.</summary>
    /// <exception cref="InvalidDataException">The name is not known.</exception>
    public static Func<Tensor, Tensor> Named(string name) => name switch
    {
        _ when IsSilu(name) => x => nn.functional.silu(x),
        "gelu" or "geglu" => x => nn.functional.gelu(x),
        "gelu_new" or "gelu_fast" or "gelu_approx" or "gelu_pytorch_tanh" => GeluTanh,
        "relu" => x => nn.functional.relu(x),
        "sqrelu" or "relu2" => x => nn.functional.relu(x).pow(Number(2)),
        "sigmoid" or "glu" => x => x.sigmoid(),
        "tanh" => x => x.tanh(),
        _ => throw new InvalidDataException(
            $"config.json: the activation \"{name}\" is not known. Known: silu, swish, gelu, gelu_new, gelu_fast, gelu_approx, gelu_pytorch_tanh, relu, sqrelu, relu2, sigmoid, tanh, swiglu, geglu, glu."),
    };

    /// <summary>a ⊙ act(g), where act is the function of this name.</summary>
    /// <exception cref="InvalidDataException">The name is not known.</exception>
    public static Func<Tensor, Tensor, Tensor> Gate(string name)
    {
        if (IsSilu(name)) return Ops.SwiGlu;
        var activation = Named(name);
        return (a, g) =>
        {
            using var scope = NewDisposeScope();
            return (a * activation(g)).MoveToOuterDisposeScope();
        };
    }

    /// <summary>Whether it is SiLU that goes under this name.</summary>
    public static bool IsSilu(string? name) => name is "silu" or "swish" or "swiglu";

    private static Tensor GeluTanh(Tensor x)
    {
        using var scope = NewDisposeScope();
        return (x * Number(0.5) * (x.Plus(x.pow(Number(3)) * Number(0.044715)) * Number(Math.Sqrt(2 / Math.PI))).tanh().Plus(1)).MoveToOuterDisposeScope();
    }
}

/// <summary>down(act(gate(x)) ⊙ up(x)), SwiGLU where act is SiLU.</summary>
public sealed class GatedMlp : nn.Module<Tensor, Tensor>
{
    private readonly Linear gate;
    private readonly Linear up;
    private readonly Linear down;
    private readonly Func<Tensor, Tensor, Tensor> gated;

    /// <summary>An MLP of one width between, with a matrix each for gate, up and down.</summary>
    public GatedMlp(WeightSource weights, long D, long width, string activation, bool bias = false) : base(nameof(GatedMlp))
    {
        gate = weights.Linear(nameof(gate), D, width, bias);
        up = weights.Linear(nameof(up), D, width, bias);
        down = weights.Linear(nameof(down), width, D, bias);
        gated = Activation.Gate(activation);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        return down.call(gated(up.call(x), gate.call(x))).MoveToOuterDisposeScope();
    }
}

/// <summary>The same with gate and up in one matrix, up first: fc2(a ⊙ act(g)), [a | g] = fc1(x).</summary>
public sealed class FusedGatedMlp : nn.Module<Tensor, Tensor>
{
    private readonly Linear fc1;
    private readonly Linear fc2;
    private readonly Func<Tensor, Tensor, Tensor> gated;

    /// <summary>An MLP of one width between.</summary>
    public FusedGatedMlp(WeightSource weights, long D, long width, string activation, bool bias1 = false, bool bias2 = false) : base(nameof(FusedGatedMlp))
    {
        fc1 = weights.Linear(nameof(fc1), D, 2 * width, bias1);
        fc2 = weights.Linear(nameof(fc2), width, D, bias2);
        gated = Activation.Gate(activation);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        var halves = fc1.call(x).chunk(2, -1);
        return fc2.call(gated(halves[0], halves[1])).MoveToOuterDisposeScope();
    }
}

/// <summary>fc2(act(fc1(x))).</summary>
public sealed class Mlp : nn.Module<Tensor, Tensor>
{
    private readonly Linear fc1;
    private readonly Linear fc2;
    private readonly Func<Tensor, Tensor> activation;

    /// <summary>An MLP of one width between.</summary>
    public Mlp(WeightSource weights, long D, long width, string activation, bool bias1 = true, bool bias2 = true) : base(nameof(Mlp))
    {
        fc1 = weights.Linear(nameof(fc1), D, width, bias1);
        fc2 = weights.Linear(nameof(fc2), width, D, bias2);
        this.activation = Activation.Named(activation);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        return fc2.call(activation(fc1.call(x))).MoveToOuterDisposeScope();
    }
}
