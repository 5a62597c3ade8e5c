using ReadTwice.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace ReadTwice.Training;

/// <summary>How a model's parameters start, and which of them decay.</summary>
public static class TrainingSetup
{
    /// <summary>The parameters as the optimiser keeps them, in the groups of the authors' code.</summary>
    /// <remarks>
    /// Embeddings, biases, and Mamba's decays and skips do not decay; matrices and the filters of convolutions do. Norms do in the
    /// authors' code, which looks for other classes of norms than it has.
    /// </remarks>
    public static IReadOnlyList<TrainedParameter> Parameters(LanguageModel model, bool decayNorms) =>
        [.. model.NamedParameters.Select(named => new TrainedParameter(named.Name, named.Parameter, Decays(named.Name, named.Parameter, decayNorms)))];

    /// <summary>Draws the matrices of linear layers and the embedding anew, those into the residual stream smaller.</summary>
    /// <remarks>Every other parameter starts as its layer says. The parameters are drawn in order, so a seed gives the same model.</remarks>
    public static void Draw(LanguageModel model, double deviation, torch.Generator chance)
    {
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        int layers = model.Blocks.Count;
        foreach (var (name, parameter) in model.NamedParameters)
            if (IsMatrix(name, parameter))
                parameter.copy_(empty(parameter.shape).normal_(0, IntoResidual(name) ? deviation / Math.Sqrt(2 * layers) : deviation, chance));
    }

    /// <summary>Takes the weights of a checkpoint of the same shape, and gives its hash.</summary>
    /// <exception cref="InvalidDataException">It lacks a parameter, or has one of another shape.</exception>
    public static string Copy(string folder, LanguageModel model)
    {
        using var start = Checkpoint.Load(folder);
        using var inference = no_grad();
        var theirs = start.Model.NamedParameters.ToDictionary(named => named.Name, named => named.Parameter);
        foreach (var (name, parameter) in model.NamedParameters)
        {
            if (!theirs.TryGetValue(name, out var value) || !value.shape.SequenceEqual(parameter.shape))
                throw new InvalidDataException(
                    $"{folder}: {name} is {(value is null ? "missing" : $"[{string.Join(", ", value.shape)}]")}; the config's model needs [{string.Join(", ", parameter.shape)}]. Start from a checkpoint of the same shape.");
            parameter.copy_(value);
        }
        return start.Model.Hash;
    }

    private static bool IsMatrix(string name, Parameter parameter) =>
        parameter.dim() == 2 && name.EndsWith(".weight", StringComparison.Ordinal) && !name.EndsWith(".dt_proj.weight", StringComparison.Ordinal);

    /// <summary>Whether a matrix writes into the residual stream.</summary>
    internal static bool IntoResidual(string name) => residual.Any(end => name.EndsWith(end, StringComparison.Ordinal));

    private static bool Decays(string name, Parameter parameter, bool decayNorms)
    {
        if (name.StartsWith("embedding.", StringComparison.Ordinal) || name.StartsWith("positions.", StringComparison.Ordinal)) return false;
        if (parameter.dim() == 1) return decayNorms && name.EndsWith(".weight", StringComparison.Ordinal) || decayNorms && name == "norm.weight";
        return !name.EndsWith(".A_log", StringComparison.Ordinal);
    }

    private static readonly string[] residual = [".mixer.output.weight", ".mixer.out_proj.weight", ".mlp.fc2.weight", ".mlp.down.weight"];
}
