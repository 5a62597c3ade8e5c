namespace ReadTwice.Checkpoints;

/// <summary>Tells by its first bytes what a file is, and reads it accordingly.</summary>
internal static class WeightFormat
{
    /// <exception cref="InvalidDataException">The file is damaged or of no known format.</exception>
    public static IEnumerable<StoredTensor> Read(MappedFile file, Dictionary<string, string> metadata)
    {
        var start = file.Span(0, (int)Math.Min(file.Length, 64));
        if (start.StartsWith("version https://git-lfs"u8))
            throw file.Bad("the file is only a pointer that git left in place of the weights; fetch them with git lfs pull or download the file itself");
        if (IsWebPage(start)) throw file.Bad("the file is a web page, not weights; the download failed, repeat it");
        if (start.StartsWith("GGUF"u8)) throw file.Bad("the file is GGUF; safetensors or a PyTorch file is needed, convert it or download another");
        var tensors = SafetensorsReader.Read(file, out var texts);
        foreach (var (key, text) in texts) metadata.TryAdd(key, text);
        return tensors;
    }

    // A safetensors file may begin with "<" as well: a header of 60 bytes. The upper bytes of its length are zero.
    private static bool IsWebPage(ReadOnlySpan<byte> start) =>
        !start[..Math.Min(start.Length, SafetensorsHeader.LengthBytes)].Contains((byte)0) && start.TrimStart(" \t\r\n\uFEFF"u8).StartsWith("<"u8);
}
