using System.CommandLine;
using ReadTwice.Evaluation;
using ReadTwice.Evaluation.Tasks;
using ReadTwice.Training;

namespace ReadTwice.Cli;

/// <summary>jrt prepare: training sequences from labelled documents.</summary>
internal static class PrepareCommand
{
    public static Command Make(Terminal terminal)
    {
        var documents = new Option<string>("--documents") { Description = "The documents: .jsonl or .jsonl.gz with doc_id and text.", Required = true, HelpName = "FILE" };
        var labels = new Option<string>("--labels") { Description = "What is known of them: .jsonl or .jsonl.gz with doc_id, key and value.", Required = true, HelpName = "FILE" };
        var tokenizer = new Option<string>("--tokenizer", "-t") { Description = "Folder with tokenizer.json.", Required = true, HelpName = "FOLDER" };
        var output = new Option<string>("--out", "-o") { Description = "File of sequences to write.", Required = true, HelpName = "FILE" };
        var parts = new Option<string[]>("--part")
        {
            Description = "Sequences to make, as KIND,PROMPT,LENGTH,COUNT, the lengths in tokens: once and twice ask for facts after a document read so often, copy for pieces of it word for word, random for pieces of random tokens. May be given several times.",
            Required = true,
            HelpName = "PART",
        };
        var documentRange = new Option<string?>("--only") { Description = "Which documents to use, as FROM-TO counted from 0; all without it.", HelpName = "RANGE" };
        var prefix = new Option<int>("--prefix") { Description = "How much of a prompt is read in both directions at most: the model's enc_length.", DefaultValueFactory = _ => 1024, HelpName = "N" };
        var masks = new Option<double>("--masked") { Description = "The part of the sequences that ask for facts whose prefix may be masked.", DefaultValueFactory = _ => 0.5, HelpName = "X" };
        var seed = new Option<int>("--seed") { Description = "The same seed makes the same sequences.", DefaultValueFactory = _ => 42, HelpName = "N" };
        var json = JsonOption.Make();
        var command = new Command("prepare", "Makes training sequences from documents and what is known of them.") { documents, labels, tokenizer, output, parts, documentRange, prefix, masks, seed, json };
        command.SetAction(parsed =>
        {
            var words = HfTokenizer.FromFolder(parsed.GetValue(tokenizer)!);
            var all = LabelledDocument.Join(Fda.Load(parsed.GetValue(documents)!, parsed.GetValue(labels)!));
            var sequences = new RecallSequences(Fda.Task, words, Only(all, parsed.GetValue(documentRange)));
            var random = new Random(parsed.GetValue(seed));
            List<TokenSequence> made = [.. parsed.GetValue(parts)!.SelectMany(part => Part(sequences, part, parsed.GetValue(prefix), parsed.GetValue(masks), random))];
            TokenFile.Write(parsed.GetValue(output)!, words.VocabularySize, made);
            long tokens = made.Sum(sequence => (long)sequence.Ids.Count), answers = made.Sum(sequence => (long)sequence.Roles.Count(role => role == TokenRole.Answer));
            if (parsed.GetValue(json)) terminal.WriteJson(new { path = parsed.GetValue(output), sequences = made.Count, tokens, answer_tokens = answers });
            else terminal.Error.WriteLine($"{parsed.GetValue(output)}: {made.Count:N0} sequences, {tokens:N0} tokens, {answers:N0} of them in answers.");
        });
        return command;
    }

    private static IReadOnlyList<TokenSequence> Part(RecallSequences sequences, string part, int longestPrefix, double masks, Random random)
    {
        string[] words = part.Split(',');
        if (words.Length != 4 || !int.TryParse(words[1], out int prompt) || !int.TryParse(words[2], out int length) || !int.TryParse(words[3], out int count) ||
            prompt < 1 || length <= prompt || count < 1)
            throw new ArgumentException($"--part {part} is none: KIND,PROMPT,LENGTH,COUNT is needed, with a length above the prompt's.");
        if (longestPrefix < 1) throw new ArgumentException($"--prefix is {longestPrefix}; at least 1 is needed.");
        var shape = new SequenceShape(prompt, length, longestPrefix);
        return words[0] switch
        {
            "copy" => sequences.Copies(shape, count, random),
            "random" => sequences.Noise(shape, count, random),
            var reading => sequences.Facts(shape, Reading.Parse(reading), count, masks, random),
        };
    }

    private static IReadOnlyList<LabelledDocument> Only(IReadOnlyList<LabelledDocument> all, string? range)
    {
        if (range is null) return all;
        string[] bounds = range.Split('-');
        if (bounds.Length != 2 || !int.TryParse(bounds[0], out int from) || !int.TryParse(bounds[1], out int to) || from < 0 || to < from || from >= all.Count)
            throw new ArgumentException($"--only {range} is no range within the {all.Count} documents; FROM-TO is needed.");
        return [.. all.Skip(from).Take(to - from + 1)];
    }
}
