using ReadTwice.Training;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using AdamW = ReadTwice.Training.AdamW;

namespace ReadTwice.Tests.Training;

public sealed class AdamWTests : IDisposable
{
    // Float32 sums and roots in another order of operations.
    private const double Tolerance = 2e-6;
    private readonly DisposeScope scope = NewDisposeScope();

    public void Dispose() => scope.Dispose();

    [Fact]
    public void Updates_are_those_of_the_equations()
    {
        double[] value = [0.5, -1, 2], mean = new double[3], square = new double[3];
        var trained = new TrainedParameter("w", new Parameter(tensor(new[] { 0.5f, -1, 2 })), Decays: true);
        var adam = new AdamW(0.9, 0.95, 1e-8, 0.1);
        for (int step = 1; step <= 5; step++)
        {
            double rate = 0.01 * step;
            for (int i = 0; i < 3; i++)
            {
                double g = Math.Sin(step + i);
                trained.Gradient[i] = (float)g;
                mean[i] = 0.9 * mean[i] + 0.1 * g;
                square[i] = 0.95 * square[i] + 0.05 * g * g;
                value[i] *= 1 - rate * 0.1;
                value[i] -= rate * (mean[i] / (1 - Math.Pow(0.9, step))) / (Math.Sqrt(square[i] / (1 - Math.Pow(0.95, step))) + 1e-8);
            }
            adam.Update([trained], rate, step);
        }
        for (int i = 0; i < 3; i++)
        {
            Assert.InRange(trained.Value[i], value[i] - Tolerance, value[i] + Tolerance);
            Assert.Equal(trained.Value[i], trained.Parameter[i].item<float>());
            Assert.Equal(0, trained.Gradient[i]);
        }
    }

    [Fact]
    public void A_parameter_that_does_not_decay_stays_where_its_gradient_is_0()
    {
        var (fixedOne, decaying) = (Trained(decays: false), Trained(decays: true));
        new AdamW(0.9, 0.95, 1e-8, 0.1).Update([fixedOne, decaying], 0.1, 1);
        Assert.Equal(1, fixedOne.Value[0]);
        Assert.Equal(0.99f, decaying.Value[0]);
    }

    [Fact]
    public void Gradients_of_several_batches_are_added_and_their_norm_is_that_of_all_parameters()
    {
        var (a, b) = (Trained(decays: true), Trained(decays: true));
        for (int i = 0; i < 2; i++)
        {
            (a.Parameter * 6 + b.Parameter * 8).sum().backward();
            a.TakeGradient(0.5);
            b.TakeGradient(0.5);
        }
        Assert.Equal((6f, 8f), (a.Gradient[0], b.Gradient[0]));
        Assert.Equal(10, AdamW.Norm([a, b]), 6);
        Assert.Null(a.Parameter.grad);
    }

    [Fact]
    public void A_model_in_bfloat16_loses_nothing_of_small_updates()
    {
        var trained = new TrainedParameter("w", new Parameter(ones(1, ScalarType.BFloat16)), Decays: false);
        for (int step = 1; step <= 100; step++)
        {
            trained.Gradient[0] = 1;
            new AdamW(0, 0, 0, 0).Update([trained], 1e-4, step);
        }
        Assert.Equal(0.99, trained.Value[0], 4);
        Assert.Equal(0.99, trained.Parameter.to(ScalarType.Float32)[0].item<float>(), 2);
    }

    private static TrainedParameter Trained(bool decays) => new("w", new Parameter(ones(1)), decays);
}
