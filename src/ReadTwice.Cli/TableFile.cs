using System.Text.Encodings.Web;
using System.Text.Json;
using CsvHelper;
using Parquet;
using Parquet.Schema;

namespace ReadTwice.Cli;

/// <summary>A table on disk in the format its name asks for, written whole or not at all.</summary>
internal sealed class TableFile
{
    /// <summary>The column with each row's file.</summary>
    public const string Document = "document";

    /// <summary>The column that says why a row has no values.</summary>
    public const string Error = "error";

    private static readonly JsonSerializerOptions json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly Action<Stream, IReadOnlyList<string>, IReadOnlyList<Extract>> write;

    private TableFile(string path, Action<Stream, IReadOnlyList<string>, IReadOnlyList<Extract>> write) => (Path, this.write) = (path, write);

    /// <summary>Where it lies.</summary>
    public string Path { get; }

    /// <summary>A table in the format of the path's extension.</summary>
    public static TableFile For(string path)
    {
        string folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!;
        if (!Directory.Exists(folder)) throw new DirectoryNotFoundException($"{folder} does not exist; make the folder for {System.IO.Path.GetFileName(path)} first.");
        return new(path, System.IO.Path.GetExtension(path).ToLowerInvariant() switch
        {
            ".csv" => Csv,
            ".jsonl" => Jsonl,
            ".parquet" => Parquet,
            var other => throw new ArgumentException($"{path}: a table is written as .csv, .jsonl or .parquet, not \"{other}\"."),
        });
    }

    /// <summary>Writes the table: document, the fields, error.</summary>
    public void Write(IReadOnlyList<string> fields, IReadOnlyList<Extract> rows) => AtomicFile.Write(Path, stream => write(stream, fields, rows));

    private static IReadOnlyList<string> Columns(IReadOnlyList<string> fields) => [Document, .. fields, Error];

    private static string[] Cells(Extract row) => [row.Document, .. row.Values, row.Error ?? ""];

    private static void Csv(Stream stream, IReadOnlyList<string> fields, IReadOnlyList<Extract> rows)
    {
        using var csv = CsvWriter.Create(stream, leaveOpen: true);
        foreach (string[] line in rows.Select(Cells).Prepend([.. Columns(fields)])) csv.WriteRecord(line);
    }

    private static void Jsonl(Stream stream, IReadOnlyList<string> fields, IReadOnlyList<Extract> rows)
    {
        using var writer = new StreamWriter(stream, leaveOpen: true) { NewLine = "\n" };
        foreach (var row in rows)
        {
            var cells = Columns(fields).Zip(Cells(row)).ToDictionary(pair => pair.First, pair => pair.First == Error ? row.Error : pair.Second);
            writer.WriteLine(JsonSerializer.Serialize(cells, json));
        }
    }

    private static void Parquet(Stream stream, IReadOnlyList<string> fields, IReadOnlyList<Extract> rows)
    {
        var columns = Columns(fields).Select(name => new DataField<string>(name)).ToArray();
        WriteAsync().GetAwaiter().GetResult();   // no tensors here; the file system is all that is waited for

        async Task WriteAsync()
        {
            await using var writer = await ParquetWriter.CreateAsync(new ParquetSchema(columns), stream);
            using var group = writer.CreateRowGroup();
            for (int i = 0; i < columns.Length; i++)
                await group.WriteAsync(columns[i], [.. rows.Select(row => Cells(row)[i])]);
        }
    }
}
