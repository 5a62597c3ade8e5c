using ReadTwice.Checkpoints;
using ReadTwice.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests;

/// <summary>A small model of every published form that is listed, with weights large enough for every layer to matter.</summary>
internal static class TestModels
{
    /// <summary>The forms' names, for theories.</summary>
    public static TheoryData<string> Families => [.. Architectures.All.SelectMany(architecture => architecture.Families).Select(family => family.Name)];

    public static Checkpoint Of(string family, int seed = 1, Quantization quantization = Quantization.None)
    {
        var form = Architectures.All.SelectMany(architecture => architecture.Families).Single(each => each.Name == family);
        var checkpoint = Checkpoint.New(family, ConfigJson.Parse(form.Example, family), new ByteTokenizer(), seed, quantization: quantization);
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        using var chance = new torch.Generator((ulong)seed);   // the shared one hangs on the tests that run beside this one
        foreach (var matrix in checkpoint.Model.parameters().Where(parameter => parameter.dim() >= 2))
            matrix.copy_(empty(matrix.shape).normal_(0, 1 / Math.Sqrt(matrix.size((int)matrix.dim() - 1)), chance));
        return checkpoint;
    }

    /// <summary>Random tokens, [B, T].</summary>
    public static Tensor Tokens(ILanguageModel model, long B, long T, int seed)
    {
        var random = new Random(seed);
        return tensor([.. Enumerable.Range(0, (int)(B * T)).Select(_ => random.NextInt64(model.VocabularyRows))], [B, T]);
    }

    /// <summary>How many of T tokens are read in both directions from the start of a text.</summary>
    public static long Prefix(ILanguageModel model, long T) => Math.Min(model.EncoderLength, T);
}
