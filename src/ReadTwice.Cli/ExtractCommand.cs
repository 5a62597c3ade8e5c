using System.CommandLine;
using ReadTwice.Checkpoints;
using ReadTwice.Documents;

namespace ReadTwice.Cli;

/// <summary>jrt extract: a table of facts from many documents.</summary>
internal static class ExtractCommand
{
    public static Command Make(Terminal terminal)
    {
        var documents = new Argument<string[]>("DOCUMENT") { Description = "The .txt, .md, .html or .pdf files to read.", Arity = ArgumentArity.OneOrMore };
        var fields = new Option<string[]>("--field", "-f") { Description = "A field to fill; may be given several times.", HelpName = "NAME" };
        var fieldFile = new Option<string?>("--fields") { Description = "File with a field a line.", HelpName = "FILE" };
        var output = new Option<string>("--out", "-o") { Description = "Table to write: .csv, .jsonl or .parquet.", Required = true, HelpName = "FILE" };
        var reading = ReadingOption.Make("How each document is read: once, twice, or a number of times.");
        var (model, continuation, padding, json) = (new ModelOptions(), new ContinuationOptions(48, "\\n"), PaddingOption.Make(), JsonOption.Make());
        var command = new Command("extract", "Fills a table from documents, a row each. Stopped, it goes on where it was when run again.") { documents, fields, fieldFile, output, reading };
        model.AddTo(command);
        continuation.AddTo(command);
        command.Add(padding);
        command.Add(json);
        command.SetAction((parsed, cancel) =>
        {
            var names = Fields(parsed.GetValue(fields) ?? [], parsed.GetValue(fieldFile));
            var asked = ReadingOption.Read(parsed, reading);
            if (asked is { QuestionFirst: true }) throw new ArgumentException("extract reads a document once for all fields; question-first reads it anew for each: leave it out.");
            var table = TableFile.For(parsed.GetValue(output)!);
            var how = continuation.Read(parsed);
            using var checkpoint = model.Load(parsed);
            var laid = asked ?? ReadingOption.Default(checkpoint.Model);
            var reader = new Reader(checkpoint.Model, checkpoint.Tokenizer, PaddingOption.Read(parsed, padding));
            using var journal = OpenJournal(table.Path, $"{checkpoint.Model.Hash} {laid} {how} {string.Join('\n', names)}");
            var rows = Run(terminal, parsed.GetValue(documents)!, names, laid, how, reader, journal, cancel);
            table.Write(names, rows);
            journal.Delete();
            int failed = rows.Count(row => row.Error is not null);
            if (parsed.GetValue(json)) terminal.WriteJson(new { table.Path, rows = rows.Count, failed });
            else terminal.Error.WriteLine($"{table.Path}: {rows.Count} rows{(failed == 0 ? "" : $", {failed} of them with an error instead of values")}.");
            return Task.FromResult(failed == rows.Count ? 1 : 0);
        });
        return command;
    }

    /// <summary>Opens a table's journal; rows that had failed are made again.</summary>
    public static Journal<Extract> OpenJournal(string table, string settings) =>
        Journal<Extract>.Open(table, settings, row => row.Error is null ? row.Document : null);

    private static List<Extract> Run(
        Terminal terminal, string[] documents, IReadOnlyList<string> fields, Reading reading, Continuation how,
        Reader reader, Journal<Extract> journal, CancellationToken cancel) => terminal.WithProgress("extracting", progress =>
    {
        var rows = new List<Extract>();
        foreach (string document in documents)
        {
            if (!journal.Done.TryGetValue(document, out var row))
            {
                row = FromDocument(document, fields, reading, how, reader, cancel);
                journal.Add(row);
            }
            rows.Add(row);
            progress.Report((double)rows.Count / documents.Length);
        }
        return rows;
    });

    private static Extract FromDocument(
        string document, IReadOnlyList<string> fields, Reading reading, Continuation how, Reader reader, CancellationToken cancel)
    {
        try
        {
            using var read = reader.Read(DocumentText.Load(document, cancel), reading, null, cancel);
            var values = new List<string>();
            foreach (string field in fields)
            {
                var (state, tokens) = reader.Ask(read, $"{field}:", cancel);
                using (state)
                    values.Add(string.Concat(reader.Generator.Continue(state, how, tokens, cancel).Select(written => written.Text)).Trim());
            }
            return new(document, values, null);
        }
        catch (Exception e) when (Jrt.IsExpected(e))
        {
            return new(document, [.. fields.Select(_ => "")], Jrt.OneLine(e.Message));
        }
    }

    private static List<string> Fields(string[] given, string? file)
    {
        var fields = given.Concat(file is null ? [] : File.ReadLines(file).Select(line => line.Trim()).Where(line => line.Length > 0))
            .Select(field => field.TrimEnd(':', ' ')).ToList();
        if (fields.Count == 0) throw new ArgumentException("No field was given: --field NAME, or --fields FILE with one a line.");
        var twice = fields.GroupBy(field => field).FirstOrDefault(group => group.Count() > 1);
        if (twice is not null) throw new ArgumentException($"The field \"{twice.Key}\" is given {twice.Count()} times; a column is filled once.");
        if (fields.FirstOrDefault(field => field.Length == 0 || field is TableFile.Document or TableFile.Error) is { } bad)
            throw new ArgumentException($"\"{bad}\" cannot be a field: the columns document and error are the table's own, and a name is needed.");
        return fields;
    }
}

/// <summary>One document's values, in the order of the fields, or why there are none.</summary>
internal sealed record Extract(string Document, IReadOnlyList<string> Values, string? Error);
