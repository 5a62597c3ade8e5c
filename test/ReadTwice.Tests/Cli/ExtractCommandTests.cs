using System.Text.Json;
using Parquet;

namespace ReadTwice.Tests.Cli;

public sealed class ExtractCommandTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private string Document(string name, string text)
    {
        File.WriteAllText(folder.File(name), text);
        return folder.File(name);
    }

    [Fact]
    public void A_table_has_a_row_a_document_and_one_that_fails_says_why()
    {
        string good = Document("good.txt", "Colour: red. Size: 4."), bad = Document("bad.txt", ""), other = Document("other.md", "Colour: blue.");
        string table = folder.File("table.jsonl");
        var result = CommandLine.Run("extract", good, bad, other, "--field", "Colour", "--field", "Size", "--out", table, "--max-tokens", "3");
        Assert.Equal(0, result.Code);
        Assert.Contains("3 rows, 1 of them with an error", result.Error);
        var rows = File.ReadAllLines(table).Select(line => JsonDocument.Parse(line).RootElement).ToList();
        Assert.Equal([good, bad, other], rows.Select(row => row.GetProperty("document").GetString()!));
        Assert.Equal(JsonValueKind.Null, rows[0].GetProperty("error").ValueKind);
        Assert.Contains("bad.txt", rows[1].GetProperty("error").GetString());
        Assert.Equal(["document", "Colour", "Size", "error"], rows[0].EnumerateObject().Select(property => property.Name));
        Assert.False(File.Exists(table + ".unfinished"));
    }

    [Fact]
    public async Task The_table_is_written_as_its_name_says()
    {
        string document = Document("d.txt", "Colour: \"red\", or not.");
        foreach (string name in (string[])["t.csv", "t.parquet"])
            Assert.Equal(0, CommandLine.Run("extract", document, "--field", "Colour, \"loud\"", "--out", folder.File(name), "--max-tokens", "2").Code);
        Assert.StartsWith("document,\"Colour, \"\"loud\"\"\",error", File.ReadAllText(folder.File("t.csv")), StringComparison.Ordinal);
        await using var parquet = await ParquetReader.CreateAsync(folder.File("t.parquet"), cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(["document", "Colour, \"loud\"", "error"], parquet.Schema.Fields.Select(field => field.Name));
        CommandLine.Fails(CommandLine.Run("extract", document, "--field", "x", "--out", folder.File("t.xlsx")), ".csv", ".parquet", ".xlsx");
    }

    [Fact]
    public void A_run_that_was_stopped_goes_on_and_tries_what_failed_again()
    {
        string first = Document("1.txt", "One."), second = Document("2.txt", "");
        string table = folder.File("t.csv");
        string[] command = ["extract", first, second, "--field", "Colour", "--out", table, "--max-tokens", "2"];
        Assert.Equal(0, CommandLine.Run(command).Code);
        string whole = File.ReadAllText(table);

        // What a stopped run leaves behind: the key of its settings, a row that is done, one that failed, one cut short.
        using (var journal = ReadTwice.Cli.ExtractCommand.OpenJournal(table, "x")) journal.Add(new(first, ["kept"], null));
        string kept = File.ReadAllLines(table + ".unfinished")[1];
        File.Delete(table);
        File.WriteAllText(table + ".unfinished", "another run's settings\n" + kept);
        Assert.Equal(0, CommandLine.Run(command).Code);
        Assert.Equal(whole, File.ReadAllText(table));
    }

    [Fact]
    public void Rows_that_are_done_are_kept_and_failed_or_broken_ones_are_not()
    {
        string table = folder.File("t.csv");
        using (var journal = ReadTwice.Cli.ExtractCommand.OpenJournal(table, "settings"))
        {
            journal.Add(new("a", ["1"], null));
            journal.Add(new("b", [""], "failed"));
        }
        File.AppendAllText(table + ".unfinished", "{\"Document\":\"c\",\"Val");
        using (var again = ReadTwice.Cli.ExtractCommand.OpenJournal(table, "settings")) Assert.Equal(["a"], again.Done.Keys);
        using (var other = ReadTwice.Cli.ExtractCommand.OpenJournal(table, "other settings")) Assert.Empty(other.Done);
    }

    [Fact]
    public void Wrong_fields_are_told_in_one_line()
    {
        string document = Document("d.txt", "Text."), table = folder.File("t.csv");
        CommandLine.Fails(CommandLine.Run("extract", document, "--out", table), "--field");
        CommandLine.Fails(CommandLine.Run("extract", document, "--field", "a", "--field", "a", "--out", table), "\"a\"", "2 times");
        CommandLine.Fails(CommandLine.Run("extract", document, "--field", "error", "--out", table), "error");
        CommandLine.Fails(CommandLine.Run("extract", document, "--fields", folder.File("none.txt"), "--out", table), "none.txt");
        CommandLine.Fails(CommandLine.Run("extract", document, "--field", "a", "--out", folder.File("no/t.csv")), "does not exist");
    }
}
