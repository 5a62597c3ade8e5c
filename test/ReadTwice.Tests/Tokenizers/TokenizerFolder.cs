namespace ReadTwice.Tests;

/// <summary>An empty folder that is gone with the test.</summary>
internal sealed class TokenizerFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("readtwice-").FullName;

    public string Write(string name, string text) => Write(name, System.Text.Encoding.UTF8.GetBytes(text));

    public string Write(string name, byte[] content)
    {
        string path = System.IO.Path.Combine(Path, name);
        File.WriteAllBytes(path, content);
        return path;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
