using System.Runtime.InteropServices;
using System.Text;
using ReadTwice.Checkpoints;
using ReadTwice.Kernels;

namespace ReadTwice.Training;

/// <summary>Writes a trained model as its family is published: config.json, model.safetensors and tokenizer.json.</summary>
public static class Export
{
    /// <summary>Writes the folder; <see cref="Checkpoint.Load"/> gives the same model back.</summary>
    /// <param name="folder">Made if need be.</param>
    /// <param name="family">The published form.</param>
    /// <param name="config">The model's config.json.</param>
    /// <param name="tokenizer">The tokenizer.json to lay beside it.</param>
    /// <param name="parameters">The parameters, by our names.</param>
    /// <param name="values">The numbers of each.</param>
    /// <param name="bfloat16">Whether matrices are stored in bfloat16, as a model trained so computes with them.</param>
    /// <exception cref="IOException">A file cannot be written.</exception>
    public static void Write(
        string folder, CheckpointFamily family, ConfigJson config, string tokenizer,
        IReadOnlyList<TrainedParameter> parameters, IReadOnlyList<float[]> values, bool bfloat16)
    {
        Directory.CreateDirectory(folder);
        var tensors = parameters.Zip(values, (parameter, numbers) => ToWrite(family.Theirs(parameter.Name), parameter, numbers, bfloat16))
            .OrderByDescending(tensor => tensor.Type == StoredType.F32).ToList();
        AtomicFile.Write(Path.Combine(folder, "model.safetensors"), stream => SafetensorsWriter.Write(stream, new Dictionary<string, string> { ["format"] = "pt" }, tensors));
        AtomicFile.Write(Path.Combine(folder, "config.json"), stream => stream.Write(Encoding.UTF8.GetBytes(config + "\n")));
        AtomicFile.Write(Path.Combine(folder, "tokenizer.json"), stream => stream.Write(File.ReadAllBytes(tokenizer)));
    }

    /// <summary>Whether a family's tensors can be written: where they are only renamed when they are read.</summary>
    /// <exception cref="InvalidDataException">They are split or joined as well.</exception>
    public static void Require(CheckpointFamily family)
    {
        if (family.Adapt is not null)
            throw new InvalidDataException($"config.json: {family.Name} is read and not written, for its tensors are split or joined; choose another published form to train.");
    }

    private static TensorToWrite ToWrite(string name, TrainedParameter parameter, float[] numbers, bool bfloat16)
    {
        long[] shape = parameter.Parameter.shape;
        if (!bfloat16 || parameter.Parameter.dtype == TorchSharp.torch.ScalarType.Float32)
            return new(name, StoredType.F32, shape, (offset, length) => MemoryMarshal.AsBytes(numbers.AsSpan()).Slice((int)offset, length));
        byte[] halves = MemoryMarshal.AsBytes<ushort>([.. numbers.Select(BFloat16.Nearest)]).ToArray();
        return new(name, StoredType.BF16, shape, halves);
    }
}
