using System.CommandLine;
using System.Text.Json;

namespace ReadTwice.Cli;

/// <summary>jrt tokenize: text to token ids.</summary>
internal static class TokenizeCommand
{
    public static Command Make(Terminal terminal)
    {
        var text = new Argument<string?>("TEXT") { Description = "Text to encode; without it and --jsonl, what is piped in.", Arity = ArgumentArity.ZeroOrOne };
        var tokenizer = new Option<string>("--tokenizer", "-t") { Description = "Folder with the tokenizer's files.", Required = true, HelpName = "FOLDER" };
        var jsonl = new Option<string?>("--jsonl") { Description = "File with an object a line, whose \"text\" is encoded.", HelpName = "FILE" };
        var json = JsonOption.Make();
        var command = new Command("tokenize", "Prints the token ids of a text, or of each line of a file, as a JSON array a line.") { text, tokenizer, jsonl, json };
        command.SetAction(parsed =>
        {
            var encode = HfTokenizer.FromFolder(parsed.GetValue(tokenizer)!);
            foreach (string each in Texts(parsed.GetValue(text), parsed.GetValue(jsonl), terminal.In))
            {
                var ids = encode.Encode(each);
                if (parsed.GetValue(json)) terminal.WriteJson(new { tokens = ids.Count, ids });
                else terminal.Out.WriteLine($"[{string.Join(", ", ids)}]");
            }
        });
        return command;
    }

    private static IEnumerable<string> Texts(string? text, string? jsonl, TextReader piped)
    {
        if (text is not null && jsonl is not null) throw new ArgumentException("Both TEXT and --jsonl were given; one of them is needed.");
        if (jsonl is null)
        {
            yield return text ?? piped.ReadToEnd();
            yield break;
        }
        using var reader = new StreamReader(jsonl);
        int number = 0;
        while (reader.ReadLine() is { } line)
        {
            number++;
            if (line.Length > 0) yield return TextOf(line, $"{jsonl}, line {number}");
        }
    }

    private static string TextOf(string line, string where)
    {
        try
        {
            using var parsed = JsonDocument.Parse(line);
            if (parsed.RootElement.ValueKind == JsonValueKind.Object && parsed.RootElement.TryGetProperty("text", out var text) &&
                text.ValueKind == JsonValueKind.String) return text.GetString()!;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new InvalidDataException($"{where}: {e.Message}", e);
        }
        throw new InvalidDataException($"{where}: an object with a string \"text\" is needed.");
    }
}
