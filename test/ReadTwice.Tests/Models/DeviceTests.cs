using ReadTwice.Checkpoints;
using ReadTwice.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Models;

/// <summary>
/// Models on another device than the processor. libtorch's "meta" device has shapes and no numbers, and refuses to compute with a
/// tensor of another device as a card would: what a model makes in the wrong place shows here without a card.
/// </summary>
public sealed class DeviceTests : IDisposable
{
    private static readonly Device elsewhere = new(DeviceType.META);
    private readonly DisposeScope scope = NewDisposeScope();

    public DeviceTests() => Native.Libtorch.Threads = 1;

    public void Dispose() => scope.Dispose();

    [Fact]
    public void Blocks_compute_where_their_weights_are()
    {
        int whole = 0;
        foreach (string family in Architectures.All.SelectMany(architecture => architecture.Families).Select(family => family.Name))
        {
            using var checkpoint = On(family, elsewhere);
            var model = checkpoint.Model;
            Assert.Equal(DeviceType.META, model.Device.type);
            Assert.All(model.NamedParameters, named => Assert.Equal(DeviceType.META, named.Parameter.device_type));
            long D = model.NamedParameters.Single(named => named.Name == "embedding.weight").Parameter.size(1);
            var padding = new PiecePadding(PaddingRule.Exact, tensor(new long[] { 3, 0 }, device: elsewhere), ones(2, 9, device: elsewhere));
            using var shared = new LayerState();
            using var state = model.NewState(2);
            for (int i = 0; i < state.Count; i++)
            {
                Assert.All(state[i].Names, name => Assert.Equal(DeviceType.META, state[i][name].device_type));
                if (Read(model.Blocks[i], D, 9, new(state[i], 0, Math.Min(model.EncoderLength, 9), padding, shared)) &&
                    Read(model.Blocks[i], D, 70, new(state[i], 9, Shared: shared)) && Read(model.Blocks[i], D, 1, new(state[i], 79, Shared: shared))) whole++;
            }
        }
        Assert.True(whole > 0, "no block was read to its end");
    }

    // False where the block comes to an operator that libtorch has no shapes of; what comes before it was checked.
    private static bool Read(SequenceModule block, long D, long T, Pass pass)
    {
        try
        {
            var y = block.call(zeros(2, T, D, device: elsewhere), pass);
            Assert.Equal((DeviceType.META, T), (y.device_type, y.size(1)));
            foreach (string name in pass.State.Names) Assert.Equal(DeviceType.META, pass.State[name].device_type);
            return true;
        }
        catch (System.Runtime.InteropServices.ExternalException e) when (
            e.Message.Contains("no fake impl or Meta kernel") || e.Message.Contains("convolution_overrideable") || e.Message.Contains("Cannot copy out of meta tensor"))
        {
            return false;
        }
        catch (System.Runtime.InteropServices.ExternalException e)
        {
            throw new InvalidOperationException($"{block.Kind}: {e.Message.Split('\n')[0]}", e);
        }
    }

    [Fact]
    public void Without_a_card_the_device_is_refused_in_one_line()
    {
        Assert.SkipWhen(ReadTwice.Kernels.Cuda.CudaDriver.Find(0, out string? problem) is not null, "This machine has a card.");
        Assert.Contains("Install NVIDIA's driver", problem);
        Cli.CommandLine.Fails(Cli.CommandLine.Run("generate", "Hello", "--device", "cuda"), problem!);
    }

    [Fact]
    public void A_device_that_is_not_known_is_wrong_use()
    {
        var result = Cli.CommandLine.Run("generate", "Hello", "--device", "abacus");
        Assert.Equal(2, result.Code);
        Assert.Contains("abacus", result.Error);
    }

    private static Checkpoint On(string family, Device device)
    {
        var form = Architectures.All.SelectMany(architecture => architecture.Families).Single(each => each.Name == family);
        return Checkpoint.New(family, ConfigJson.Parse(form.Example, family), new ByteTokenizer(), seed: 1, device: device);
    }
}
