using System.Runtime.InteropServices;
using ReadTwice.Checkpoints;

namespace ReadTwice.Training;

/// <summary>Where a training run stands, on disk: the weights, the optimiser's means, the number of updates, and what run it is of.</summary>
/// <remarks>
/// Nothing else is needed to go on: the order of the sequences and the masks follow from the seed and the number of the update.
/// A file is written whole or not at all, so a run that is killed goes on from the last one.
/// </remarks>
public static class TrainingCheckpoint
{
    private const string Format = "jrt-training-1";

    /// <summary>Writes a checkpoint over the last one.</summary>
    /// <param name="path">The file.</param>
    /// <param name="run">What run it is: only an equal one may go on.</param>
    /// <param name="step">Updates that were made.</param>
    /// <param name="parameters">What is trained.</param>
    /// <param name="averages">The averages of the weights; empty where none are kept.</param>
    /// <exception cref="IOException">It cannot be written; the last one still is there.</exception>
    public static void Save(string path, string run, long step, IReadOnlyList<TrainedParameter> parameters, IReadOnlyList<float[]> averages)
    {
        var metadata = new Dictionary<string, string> { ["format"] = Format, ["run"] = run, ["step"] = $"{step}" };
        var tensors = Arrays(parameters, averages).Select(entry => new TensorToWrite(
            entry.Name, StoredType.F32, [entry.Numbers.Length], (offset, length) => MemoryMarshal.AsBytes(entry.Numbers.AsSpan()).Slice((int)offset, length)));
        AtomicFile.Write(path, stream => SafetensorsWriter.Write(stream, metadata, [.. tensors]));
    }

    /// <summary>Takes up a run where its checkpoint stands, and gives the number of updates that were made; 0 where there is none.</summary>
    /// <exception cref="InvalidDataException">It is of another run, or damaged; the message says which.</exception>
    public static unsafe long Load(string path, string run, IReadOnlyList<TrainedParameter> parameters, IReadOnlyList<float[]> averages)
    {
        if (!File.Exists(path)) return 0;
        using var files = WeightFiles.Open(path);
        var metadata = files.Metadata;
        if (metadata.GetValueOrDefault("format") != Format || !long.TryParse(metadata.GetValueOrDefault("step"), out long step))
            throw new InvalidDataException($"{path} is no checkpoint of a training run; name another output folder.");
        if (metadata.GetValueOrDefault("run") != run)
            throw new InvalidDataException($"{path} is of a run with another config, tokenizer or data; name another output folder, or delete it to start anew.");
        foreach (var (name, numbers) in Arrays(parameters, averages))
        {
            if (!files.Tensors.TryGetValue(name, out var stored) || stored.Type != StoredType.F32 || stored.Count != numbers.Length)
                throw new InvalidDataException($"{path}: {name} is missing or of another size; {numbers.Length} numbers are needed. Delete it to start anew.");
            new ReadOnlySpan<float>(stored.Data, numbers.Length).CopyTo(numbers);
        }
        foreach (var parameter in parameters) parameter.Publish();
        return step;
    }

    private static IEnumerable<(string Name, float[] Numbers)> Arrays(IReadOnlyList<TrainedParameter> parameters, IReadOnlyList<float[]> averages)
    {
        for (int i = 0; i < parameters.Count; i++)
        {
            var parameter = parameters[i];
            yield return ($"value.{parameter.Name}", parameter.Value);
            yield return ($"mean.{parameter.Name}", parameter.Mean);
            yield return ($"square.{parameter.Name}", parameter.Square);
            if (averages.Count > 0) yield return ($"average.{parameter.Name}", averages[i]);
        }
    }
}
