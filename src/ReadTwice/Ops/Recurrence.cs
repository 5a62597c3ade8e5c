using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>A recurrence by a kernel of our own, with its gradients: inputs of which the first is as its output and the last its state.</summary>
/// <remarks>An exception in a backward pass would end the process: the forward pass has checked every shape by then.</remarks>
internal abstract class Recurrence<TSelf> : autograd.MultiTensorFunction<TSelf> where TSelf : Recurrence<TSelf>, new()
{
    private static readonly TSelf kernel = new();

    /// <inheritdoc/>
    public override string Name => typeof(TSelf).Name;

    /// <summary>The output and the state after it; gradients are kept account of where any input asks for them.</summary>
    public static (Tensor Y, Tensor State) Apply(params Tensor[] inputs)
    {
        using var scope = NewDisposeScope();
        Tensor[] given = [.. inputs.Select(input => input.contiguous())];
        if (!Spans.Learn(given))
        {
            var (y, state) = ReadFrom(given);
            return (y.MoveToOuterDisposeScope(), state.MoveToOuterDisposeScope());
        }
        var results = apply([.. given]);
        return (results[0].MoveToOuterDisposeScope(), results[1].MoveToOuterDisposeScope());
    }

    /// <inheritdoc/>
    public override List<Tensor> forward(autograd.AutogradContext ctx, params object[] vars)
    {
        Tensor[] inputs = [.. vars.Cast<Tensor>()];
        var (y, state) = ReadFrom(inputs);
        ctx.set_materialize_grads(false);   // a result that nothing reads has no gradient, rather than one of zeros
        // Detached, or the result would hold the graph that holds it.
        ctx.save_for_backward([.. inputs, state.detach()]);
        return [y, state];
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, List<Tensor> grad_outputs)
    {
        var saved = ctx.get_saved_variables();
        Tensor[] inputs = [.. saved.Take(saved.Count - 1)], gradients = [.. inputs.Select(input => empty_like(input))];
        var dy = Given(grad_outputs[0]) ?? zeros_like(inputs[0]);
        var dState = Given(grad_outputs[1]) ?? zeros_like(inputs[^1]);
        ReadBack(inputs, saved[^1], dy, dState, gradients);
        GC.KeepAlive((saved, dy, dState));
        return [.. gradients];
    }

    /// <summary>Fills the output, and turns the state from the one before into the one after.</summary>
    protected abstract void Read(Tensor[] inputs, Tensor state, Tensor y);

    /// <summary>Fills the gradients of the inputs.</summary>
    protected abstract void ReadBack(Tensor[] inputs, Tensor after, Tensor dy, Tensor dState, Tensor[] gradients);

    private static (Tensor Y, Tensor State) ReadFrom(Tensor[] inputs)
    {
        var (y, state) = (empty_like(inputs[0]), inputs[^1].detach().clone());
        kernel.Read(inputs, state, y);
        GC.KeepAlive(inputs);
        return (y, state);
    }

    private static Tensor? Given(Tensor gradient) => gradient is { IsInvalid: false } ? gradient.contiguous() : null;
}
