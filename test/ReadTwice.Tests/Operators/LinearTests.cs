using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Operators;

/// <summary>A linear layer gives the same product whichever way it is computed, of the weights that it has at that moment.</summary>
public sealed class LinearTests : IDisposable
{
    // Float32 sums of up to 130 terms in another order; rows rounded to bfloat16, which the packed form does not do.
    private const double Tolerance = 1e-5, BFloat16Tolerance = 2e-2;

    private const int N = 70, K = 130;
    private readonly DisposeScope scope;
    private readonly torch.Generator chance;

    public LinearTests()
    {
        Native.Libtorch.Require();
        (scope, chance) = (NewDisposeScope(), new(1));
    }

    public void Dispose()
    {
        scope.Dispose();
        chance.Dispose();
    }

    [Theory, InlineData(1, ScalarType.Float32), InlineData(7, ScalarType.Float32), InlineData(8, ScalarType.Float32), InlineData(40, ScalarType.Float32)]
    [InlineData(1, ScalarType.BFloat16), InlineData(7, ScalarType.BFloat16), InlineData(8, ScalarType.BFloat16), InlineData(40, ScalarType.BFloat16)]
    public void Products_without_a_gradient_are_those_of_torch(int M, ScalarType type)
    {
        using var inference = no_grad();
        foreach (bool biased in new[] { false, true })
        {
            using var layer = Layer(type, biased);
            foreach (var x in new[] { Random(M, K), Random(1, M, K), Random(K, M).t(), Random(2, M, K + 3).narrow(2, 2, K) })
                Near(layer, x, type == ScalarType.Float32 ? Tolerance : BFloat16Tolerance);
            Assert.Equal(type == ScalarType.Float32 || M < 8, layer.PackedBytes > 0);
        }
    }

    [Theory, InlineData(ScalarType.Float32), InlineData(ScalarType.BFloat16)]
    public void Quantized_products_are_those_of_weights_that_are_half_a_step_away_at_most(ScalarType type)
    {
        using var inference = no_grad();
        using var layer = new ReadTwice.Layers.Linear(new Parameter(Random(N, K).to(type)), null, Quantization.Int8);
        layer.eval();
        var kept = layer.call(eye(K)).t();                                                       // [N, K]
        var weight = layer.Weight.to(ScalarType.Float32);
        for (int k = 0; k < K; k += 64)
        {
            var group = weight.narrow(1, k, Math.Min(64, K - k));
            var step = group.abs().amax([1], keepdim: true) / 127;
            Assert.True(((kept.narrow(1, k, group.size(1)) - group).abs() <= step * 0.5001).all().item<bool>());
        }
        foreach (int M in new[] { 1, 7, 8, 40 })
        {
            var x = Random(M, K);
            Near(nn.functional.linear(x, kept.contiguous()), layer.call(x), Tolerance);
        }
    }

    [Theory, InlineData(ScalarType.Float32), InlineData(ScalarType.BFloat16)]
    public void A_weight_that_was_written_to_is_multiplied_by_as_it_is_now(ScalarType type)
    {
        using var inference = no_grad();
        using var layer = Layer(type, biased: true);
        var x = Random(3, K);
        var writes = new Action<Tensor>[]
        {
            weight => weight.copy_(Random(N, K)), weight => weight.narrow(0, 5, 1).fill_(3), weight => weight[69, 129] = -40,
            weight => weight.detach().mul_(2), weight => weight.view(-1).zero_(),
        };
        foreach (var write in writes)
        {
            Near(layer, x, BFloat16Tolerance);
            write(layer.Weight);
            Near(layer, x, type == ScalarType.Float32 ? Tolerance : BFloat16Tolerance);
        }
    }

    [Fact]
    public void A_step_of_an_optimizer_is_seen()
    {
        using var layer = Layer(ScalarType.Float32, biased: true);
        var x = Random(2, K);
        using var optimizer = optim.SGD(layer.parameters(), 0.1);
        for (int step = 0; step < 3; step++)
        {
            using (no_grad()) Near(layer, x, Tolerance);
            layer.call(x).square().sum().backward();
            optimizer.step();
            using (no_grad()) Near(layer, x, Tolerance);
        }
    }

    [Fact]
    public void Another_weight_in_place_of_the_first_is_seen()
    {
        using var inference = no_grad();
        using var packed = new PackedWeight();
        var x = Random(2, K);
        foreach (var weight in new[] { Random(N, K), Random(N, K) })
            Near(Ops.Linear(x, weight, null), Ops.Linear(x, weight, null, packed), Tolerance);
    }

    [Fact]
    public void A_gradient_is_recorded_where_one_is_asked_for()
    {
        using var layer = Layer(ScalarType.Float32, biased: true);
        var x = Random(2, K).requires_grad_();
        layer.call(x).sum().backward();
        Near(layer.Weight.detach().sum([0L]).expand(2, K), x.grad!, Tolerance);
        Assert.Equal(0, layer.PackedBytes);
    }

    [Fact]
    public void A_layer_in_training_packs_nothing()
    {
        using var inference = no_grad();
        using var layer = Layer(ScalarType.Float32, biased: true);
        layer.train();
        Near(layer, Random(2, K), Tolerance);
        Assert.Equal(0, layer.PackedBytes);
    }

    [Fact]
    public void A_shape_that_does_not_fit_is_an_error_and_no_product()
    {
        using var inference = no_grad();
        using var layer = Layer(ScalarType.Float32, biased: false);
        Assert.ThrowsAny<Exception>(() => layer.call(Random(2, K + 1)));
        Assert.Equal([0, N], layer.call(Random(0, K)).shape);
    }

    [Fact]
    public void Mapped_weights_leave_memory_once_they_are_packed()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Linux alone says what of a file is in memory.");
        const long Rows = 4096, Columns = 1024;
        using var folder = new TemporaryFolder();
        string file = folder.File("m.safetensors");
        using var values = Random(Rows, Columns);
        AtomicFile.Write(file, stream => SafetensorsWriter.Write(stream, null, [Native.TensorMemory.ToWrite("w", values)]));
        using var weights = WeightFiles.Open(file);
        using var inference = no_grad();
        using var layer = new ReadTwice.Layers.Linear(new Parameter(Native.TensorMemory.Map(weights.Tensors["w"]), requires_grad: false));
        layer.eval();
        var x = Random(1, Columns);
        var expected = Ops.Linear(x, values, null);
        Ops.Linear(x, layer.Weight, null).Dispose();
        Assert.Equal(Rows * Columns * 4 / 1024, Resident(file), tolerance: 64);
        Near(expected, layer.call(x), Tolerance);
        Assert.InRange(Resident(file), 0, 256);
        Near(expected, Ops.Linear(x, layer.Weight, null), Tolerance);
    }

    // KiB of a mapped file that are in memory.
    private static double Resident(string file) => File.ReadAllLines("/proc/self/smaps")
        .SkipWhile(line => !line.EndsWith(file, StringComparison.Ordinal)).First(line => line.StartsWith("Rss:", StringComparison.Ordinal))
        .Split(' ', StringSplitOptions.RemoveEmptyEntries) is [_, var kib, ..] ? double.Parse(kib) : -1;

    private ReadTwice.Layers.Linear Layer(ScalarType type, bool biased)
    {
        var layer = new ReadTwice.Layers.Linear(new Parameter(Random(N, K).to(type)), biased ? new Parameter(Random(N)) : null);
        layer.eval();
        return layer;
    }

    private Tensor Random(params long[] shape) => empty(shape).normal_(0, 1, chance);

    private static void Near(ReadTwice.Layers.Linear layer, Tensor x, double tolerance)
    {
        var parameters = layer.parameters().ToList();
        Near(nn.functional.linear(x, parameters[0].to(ScalarType.Float32), parameters.ElementAtOrDefault(1)), layer.call(x), tolerance);
    }

    private static void Near(Tensor expected, Tensor actual, double tolerance)
    {
        Assert.Equal(expected.shape, actual.shape);
        double largest = expected.abs().max().item<float>(), difference = (expected - actual).abs().max().item<float>();
        Assert.True(difference <= tolerance * Math.Max(largest, 1e-30), $"{difference} of {largest}");
    }
}
