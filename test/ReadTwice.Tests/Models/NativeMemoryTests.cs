using static TorchSharp.torch;

namespace ReadTwice.Tests.Models;

/// <summary>Counts the live tensors of the whole process, so nothing may run beside it.</summary>
[Collection(nameof(NativeMemoryTests))]
[CollectionDefinition(nameof(NativeMemoryTests), DisableParallelization = true)]
public sealed class NativeMemoryTests
{
    public static TheoryData<string> Families => TestModels.Families;

    [Theory, MemberData(nameof(Families))]
    public void Reading_and_stepping_leaves_no_tensor_behind(string family)
    {
        using var checkpoint = TestModels.Of(family);
        var model = checkpoint.Model;
        using var tokens = TestModels.Tokens(model, 1, 8, seed: 16);
        void Read()
        {
            using var state = model.NewState();
            model.Prefill(tokens, state, TestModels.Prefix(model, 8)).Dispose();
            using var token = tokens.select(1, 0);
            model.Step(token, state).Dispose();
        }

        Read();
        // What earlier tests left to the garbage collector would else be counted now and be gone later.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = Tensor.TotalCount;
        for (int i = 0; i < 3; i++) Read();
        Assert.Equal(before, Tensor.TotalCount);
    }

    [Fact]
    public void A_generator_reads_and_writes_and_leaves_no_tensor_behind()
    {
        using var checkpoint = TestModels.Of("HazyResearch JRT-RNN");
        var generator = new Generator(checkpoint.Model, checkpoint.Tokenizer);
        void Run()
        {
            using var state = checkpoint.Model.NewState();
            generator.Read(state, [1, 2, 3, 4]);
            foreach (var _ in generator.Continue(state, new() { MaxTokens = 3 }))
            {
            }
        }

        Run();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = Tensor.TotalCount;
        for (int i = 0; i < 3; i++) Run();
        Assert.Equal(before, Tensor.TotalCount);
    }
}
