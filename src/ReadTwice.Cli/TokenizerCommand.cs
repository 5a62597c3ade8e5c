using System.CommandLine;
using System.Text;
using ReadTwice.Evaluation;
using ReadTwice.Training;

namespace ReadTwice.Cli;

/// <summary>jrt tokenizer: makes vocabularies.</summary>
internal static class TokenizerCommand
{
    public static Command Make(Terminal terminal) => new("tokenizer", "Makes vocabularies.") { Train(terminal) };

    private static Command Train(Terminal terminal)
    {
        var files = new Argument<string[]>("FILE") { Description = "Text files, or .jsonl and .jsonl.gz with a field \"text\" a line.", Arity = ArgumentArity.OneOrMore };
        var size = new Option<int>("--vocab-size") { Description = "Tokens of the vocabulary, the end of text included.", DefaultValueFactory = _ => 4096, HelpName = "N" };
        var output = new Option<string>("--out", "-o") { Description = "Folder for tokenizer.json; made if need be.", Required = true, HelpName = "FOLDER" };
        var json = JsonOption.Make();
        var command = new Command("train", "Learns a byte-level vocabulary from texts and writes it as tokenizer.json, in the form of GPT-2's.") { files, size, output, json };
        command.SetAction(parsed =>
        {
            var training = new BytePairTraining();
            foreach (string file in parsed.GetValue(files)!)
                foreach (string text in Texts(file)) training.Add(text);
            string tokenizer = training.Train(parsed.GetValue(size));
            string path = Path.Combine(Directory.CreateDirectory(parsed.GetValue(output)!).FullName, "tokenizer.json");
            AtomicFile.Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(tokenizer)));
            int made = HfTokenizer.FromFolder(path).VocabularySize;
            if (parsed.GetValue(json)) terminal.WriteJson(new { path, vocabulary = made });
            else terminal.Error.WriteLine($"{path}: {made} tokens.");
        });
        return command;
    }

    private static IEnumerable<string> Texts(string file) =>
        file.EndsWith(".jsonl", StringComparison.OrdinalIgnoreCase) || file.EndsWith(".jsonl.gz", StringComparison.OrdinalIgnoreCase)
            ? JsonLine.ReadAll(file).Select(line => line.Text("text")) : [File.ReadAllText(file)];
}
