using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace ReadTwice.Training;

/// <summary>One parameter as the optimiser keeps it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Parameter">Where the model has it, float32 or bfloat16.</param>
/// <param name="Decays">Whether weight decay pulls it to zero.</param>
public sealed record TrainedParameter(string Name, Parameter Parameter, bool Decays)
{
    /// <summary>The value itself; the model has it in its own type.</summary>
    public float[] Value { get; } = Numbers(Parameter);

    /// <summary>The running mean of gradients.</summary>
    public float[] Mean { get; } = new float[Parameter.numel()];

    /// <summary>The running mean of squared gradients.</summary>
    public float[] Square { get; } = new float[Parameter.numel()];

    /// <summary>The sum of this step's gradients.</summary>
    public float[] Gradient { get; } = new float[Parameter.numel()];

    /// <summary>Writes the value back into the model.</summary>
    public void Publish() => Publish(Value);

    /// <summary>Writes other numbers into the model.</summary>
    public void Publish(float[] numbers)
    {
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        Parameter.copy_(tensor(numbers, Parameter.shape));
    }

    /// <summary>Adds the gradient that the model holds to the sum, multiplied, and clears it there.</summary>
    public void TakeGradient(double factor)
    {
        using var scope = NewDisposeScope();
        if (Parameter.grad is not { } gradient) return;
        float[] numbers = Numbers(gradient);
        for (int i = 0; i < numbers.Length; i++) Gradient[i] += (float)factor * numbers[i];
        Parameter.grad = null;
    }

    private static float[] Numbers(Tensor tensor)
    {
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        return tensor.detach().to(ScalarType.Float32).contiguous().data<float>().ToArray();
    }
}

/// <summary>Adam with decoupled weight decay (arXiv 1711.05101), in plain loops over arrays that a checkpoint can hold.</summary>
/// <param name="Beta1">How slowly the mean follows.</param>
/// <param name="Beta2">How slowly the mean square follows.</param>
/// <param name="Epsilon">Added to the root.</param>
/// <param name="WeightDecay">How much of the learning rate pulls decaying parameters to zero.</param>
public sealed record AdamW(double Beta1, double Beta2, double Epsilon, double WeightDecay)
{
    /// <summary>The norm of all gradients together.</summary>
    public static double Norm(IEnumerable<TrainedParameter> parameters)
    {
        double sum = 0;
        foreach (var parameter in parameters)
            foreach (float g in parameter.Gradient) sum += (double)g * g;
        return Math.Sqrt(sum);
    }

    /// <summary>Updates the values from the sums of gradients, and clears these.</summary>
    /// <param name="parameters">What is trained.</param>
    /// <param name="rate">The learning rate.</param>
    /// <param name="step">The number of this update, counted from 1.</param>
    /// <param name="scale">Factor of the gradients: what clipping makes of them.</param>
    public void Update(IEnumerable<TrainedParameter> parameters, double rate, long step, double scale = 1)
    {
        float b1 = (float)Beta1, b2 = (float)Beta2, eps = (float)Epsilon, s = (float)scale;
        float size = (float)(rate / (1 - Math.Pow(Beta1, step))), root = (float)(1 / Math.Sqrt(1 - Math.Pow(Beta2, step)));
        foreach (var parameter in parameters)
        {
            float kept = parameter.Decays ? (float)(1 - rate * WeightDecay) : 1;
            var (value, mean, square, gradient) = (parameter.Value, parameter.Mean, parameter.Square, parameter.Gradient);
            for (int i = 0; i < value.Length; i++)
            {
                float g = gradient[i] * s;
                mean[i] = b1 * mean[i] + (1 - b1) * g;
                square[i] = b2 * square[i] + (1 - b2) * g * g;
                value[i] = kept * value[i] - size * mean[i] / (MathF.Sqrt(square[i]) * root + eps);
            }
            Array.Clear(gradient);
            parameter.Publish();
        }
    }
}
