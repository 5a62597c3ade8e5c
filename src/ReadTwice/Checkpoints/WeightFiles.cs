namespace ReadTwice.Checkpoints;

/// <summary>The tensors of a checkpoint, by name, in files that are mapped into memory and not read before they are used.</summary>
/// <remarks>The tensors point into the files and are valid until this is disposed. No one may write to the files meanwhile.</remarks>
public sealed class WeightFiles : IDisposable
{
    private readonly List<MappedFile> files = [];
    private readonly Dictionary<string, StoredTensor> tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> metadata = new(StringComparer.Ordinal);

    private WeightFiles()
    {
    }

    /// <summary>Every tensor, under its name in the files.</summary>
    public IReadOnlyDictionary<string, StoredTensor> Tensors => tensors;

    /// <summary>The full paths of the files.</summary>
    public IReadOnlyList<string> Files => [.. files.Select(file => file.Path)];

    /// <summary>Texts that the writer of a safetensors file added.</summary>
    public IReadOnlyDictionary<string, string> Metadata => metadata;

    /// <summary>Opens the weights of a folder as the Hugging Face hub has it, or one file: safetensors or PyTorch's.</summary>
    /// <remarks>
    /// Of a folder, the first there is: model.safetensors.index.json and the files it names, model.safetensors,
    /// pytorch_model.bin.index.json and its files, pytorch_model.bin, the only *.safetensors, *.bin, *.pth or *.pt.
    /// What a file is, its content says, not its name.
    /// </remarks>
    /// <exception cref="FileNotFoundException">Neither a file nor a folder is there.</exception>
    /// <exception cref="InvalidDataException">A file is missing in the folder, damaged or of no known format.</exception>
    public static WeightFiles Open(string folderOrFile)
    {
        var layout = WeightLayout.Of(folderOrFile);
        var weights = new WeightFiles();
        try
        {
            foreach (string path in layout.Files) weights.Add(path, layout);
            foreach (var (name, file) in layout.FileOf)
                if (!weights.tensors.ContainsKey(name))
                    throw new InvalidDataException(
                        $"{layout.Source}: {OneLine.Of(name)} is said to be in {file}, which does not hold it; download both again.");
            return weights;
        }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var file in files) file.Dispose();
    }

    private void Add(string path, WeightLayout layout)
    {
        var file = new MappedFile(path);
        files.Add(file);
        foreach (var tensor in WeightFormat.Read(file, metadata))
        {
            if (layout.FileOf.TryGetValue(tensor.Name, out string? named) && named != file.Name) continue;
            if (!tensors.TryAdd(tensor.Name, tensor))
                throw new InvalidDataException(
                    $"{file.Name}: {OneLine.Of(tensor.Name)} is in {tensors[tensor.Name].File} too, and {layout.Source} " +
                    "does not say which counts.");
        }
    }
}
