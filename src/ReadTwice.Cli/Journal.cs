using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace ReadTwice.Cli;

/// <summary>The rows that are done, kept beside the table until it is whole, so that work that was stopped is not lost.</summary>
internal sealed class Journal<T> : IDisposable
    where T : class
{
    private readonly string path;
    private readonly StreamWriter writer;
    private readonly Dictionary<string, T> done;

    private Journal(string path, StreamWriter writer, Dictionary<string, T> done) => (this.path, this.writer, this.done) = (path, writer, done);

    /// <summary>Rows of an earlier run with the same settings, by their names.</summary>
    public IReadOnlyDictionary<string, T> Done => done;

    /// <summary>Opens the journal of a table, and takes over an earlier one if it was made under the same settings.</summary>
    /// <param name="table">Path of the table.</param>
    /// <param name="settings">What all rows depend on.</param>
    /// <param name="name">The name of a row, or null for one that is to be made again.</param>
    public static Journal<T> Open(string table, string settings, Func<T, string?> name)
    {
        string path = table + ".unfinished";
        string key = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(settings)));
        var done = new Dictionary<string, T>();
        if (File.Exists(path))
        {
            var lines = File.ReadLines(path).ToList();
            if (lines.Count > 0 && lines[0] == key)
                foreach (string line in lines.Skip(1))
                    if (Parse(line) is { } row && name(row) is { } known) done[known] = row;
        }
        AtomicFile.Write(path, stream =>
        {
            using var kept = new StreamWriter(stream, leaveOpen: true);
            kept.WriteLine(key);
            foreach (var row in done.Values) kept.WriteLine(JsonSerializer.Serialize(row));
        });
        return new(path, new StreamWriter(path, append: true) { AutoFlush = true }, done);
    }

    /// <summary>Notes a row; it is on disk when this returns.</summary>
    public void Add(T row) => writer.WriteLine(JsonSerializer.Serialize(row));

    /// <summary>The table is whole: nothing is left to go on with.</summary>
    public void Delete()
    {
        writer.Dispose();
        File.Delete(path);
    }

    /// <inheritdoc/>
    public void Dispose() => writer.Dispose();

    // The last line may be cut short where the program was killed.
    private static T? Parse(string line)
    {
        try
        {
            return JsonSerializer.Deserialize<T>(line);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
