namespace ReadTwice.Checkpoints;

/// <summary>Tells by its first bytes what a file is, and reads it accordingly.</summary>
internal static class WeightFormat
{
    /// <exception cref="InvalidDataException">The file is damaged or of no known format.</exception>
    public static IEnumerable<StoredTensor> Read(MappedFile file, Dictionary<string, string> metadata)
    {
        var start = file.Span(0, (int)Math.Min(file.Length, 64));
        if (start.StartsWith("PK\u0003\u0004"u8)) return PyTorchReader.ReadZip(file);
        if (!MayBeSafetensors(start)) return ReadOther(file, start);
        var tensors = SafetensorsReader.Read(file, out var texts);
        foreach (var (key, text) in texts) metadata.TryAdd(key, text);
        return tensors;
    }

    // The upper half of the header's length is zero, and there is no text, pickle or other format that begins so.
    private static bool MayBeSafetensors(ReadOnlySpan<byte> start) =>
        start.Length < SafetensorsHeader.LengthBytes || start[4..SafetensorsHeader.LengthBytes].IndexOfAnyExcept((byte)0) < 0;

    private static IEnumerable<StoredTensor> ReadOther(MappedFile file, ReadOnlySpan<byte> start)
    {
        if (start[0] == (byte)PickleOp.Proto && start[2..].StartsWith(PyTorchReader.LegacyMagic)) return PyTorchReader.ReadLegacy(file);
        if (start[0] == (byte)PickleOp.Proto)
            throw file.Bad("the file is a pickle, but not of torch.save; save its tensors as safetensors");
        if (start.StartsWith("version https://git-lfs"u8))
            throw file.Bad("the file is only a pointer that git left in place of the weights; fetch them with git lfs pull, or download " +
                "the file itself");
        if (start.TrimStart(" \t\r\n\uFEFF"u8).StartsWith("<"u8))
            throw file.Bad("the file is a web page, not weights; the download failed, repeat it");
        if (start.StartsWith("GGUF"u8))
            throw file.Bad("the file is GGUF; safetensors or a file of torch.save is needed, convert it or download another");
        throw file.Bad($"the file begins with the bytes {Convert.ToHexString(start[..SafetensorsHeader.LengthBytes])}, " +
            "as neither safetensors nor a file of torch.save does; it is damaged or of another format, download it again");
    }
}
