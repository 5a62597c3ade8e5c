namespace ReadTwice.Verification;

/// <summary>Runs a fixture of any kind.</summary>
public static class Fixtures
{
    /// <summary>Runs a checkpoint's folder, a single layer's, or an operator's file.</summary>
    /// <exception cref="InvalidDataException">It cannot be read; the message says why.</exception>
    public static IReadOnlyList<Comparison> Run(string path)
    {
        if (File.Exists(path)) return OperatorFixture.Run(path);
        if (!Directory.Exists(path)) throw new DirectoryNotFoundException($"{path} does not exist; a fixture's folder or an operator's file is needed.");
        if (LayerFixture.Is(path)) return LayerFixture.Run(path);
        using var fixture = ModelFixture.Open(path);
        return [.. fixture.Run()];
    }
}
