namespace ReadTwice.Checkpoints;

/// <summary>Which files hold a checkpoint's weights and, where an index says so, which of them holds which tensor.</summary>
/// <param name="Source">The name of the index, folder or file that this was learnt from.</param>
/// <param name="Files">Paths.</param>
/// <param name="FileOf">File names by tensor name; empty without an index.</param>
internal sealed record WeightLayout(string Source, IReadOnlyList<string> Files, IReadOnlyDictionary<string, string> FileOf)
{
    private const string IndexEnding = ".index.json";

    private static readonly string[] known =
        ["model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin"];

    private static readonly string[] endings = [".safetensors", ".bin", ".pth", ".pt"];

    // What trainers leave beside the weights, and what the golden folders compare with.
    private static readonly string[] noWeights =
        ["expected.safetensors", "optimizer.", "scheduler.", "scaler.", "training_args.", "rng_state"];

    public static WeightLayout Of(string folderOrFile)
    {
        if (File.Exists(folderOrFile)) return OfFile(folderOrFile);
        if (!Directory.Exists(folderOrFile))
            throw new FileNotFoundException(
                $"{folderOrFile} does not exist; a folder of a checkpoint or a weight file is needed.", folderOrFile);
        if (known.Select(name => Path.Combine(folderOrFile, name)).FirstOrDefault(File.Exists) is { } path) return OfFile(path);
        string[] found = [.. Directory.EnumerateFiles(folderOrFile).Where(HoldsWeights).Order(StringComparer.Ordinal)];
        return found.Length switch
        {
            1 => OfFile(found[0]),
            0 => throw new InvalidDataException(
                $"{folderOrFile} holds no weights; {string.Join(", ", known)} or one file *{string.Join(", *", endings)} is needed."),
            _ => throw new InvalidDataException(
                $"{folderOrFile} holds several weight files: {string.Join(", ", found.Select(Path.GetFileName))}. Name the one to open."),
        };
    }

    private static WeightLayout OfFile(string path) =>
        path.EndsWith(IndexEnding, StringComparison.Ordinal)
            ? OfIndex(path) : new(Path.GetFileName(path), [path], new Dictionary<string, string>());

    private static WeightLayout OfIndex(string path)
    {
        var index = ConfigJson.Load(path);
        var map = index.Object("weight_map")
            ?? throw new InvalidDataException($"{index.Where("weight_map")} is missing; file names by tensor are needed.");
        var fileOf = map.Keys.ToDictionary(name => name, map.String, StringComparer.Ordinal);
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        string[] names = [.. fileOf.Values.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        if (names.Length == 0)
            throw new InvalidDataException($"{index.Where("weight_map")} names no tensors; download the file again.");
        foreach (string name in names)
        {
            // A name with a folder in it could lead out of the checkpoint, to any file of the machine.
            if (name.Length == 0 || name.IndexOfAny(['/', '\\', ':', '\0']) >= 0 || name is "." or "..")
                throw new InvalidDataException(
                    $"{index.Source}: weight_map names the file \"{OneLine.Of(name)}\"; a file beside it is needed, without a path.");
            if (!File.Exists(Path.Combine(folder, name)))
                throw new InvalidDataException(
                    $"{index.Source}: weight_map names {OneLine.Of(name)}, which is not in {folder}; download it too.");
        }
        return new(index.Source, [.. names.Select(name => Path.Combine(folder, name))], fileOf);
    }

    private static bool HoldsWeights(string path)
    {
        string name = Path.GetFileName(path);
        return endings.Contains(Path.GetExtension(name)) && !noWeights.Any(other => name.StartsWith(other, StringComparison.Ordinal));
    }
}
