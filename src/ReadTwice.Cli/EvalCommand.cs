using System.CommandLine;
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using ReadTwice.Checkpoints;
using ReadTwice.Evaluation;
using ReadTwice.Evaluation.Tasks;
using ReadTwice.Native;
using Spectre.Console;
using TorchSharp;

namespace ReadTwice.Cli;

/// <summary>jrt eval: how well models recall what they read.</summary>
internal static class EvalCommand
{
    private static readonly JsonSerializerOptions json = new(JsonSerializerDefaults.Web) { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, WriteIndented = true };

    public static Command Make(Terminal terminal)
    {
        var task = new Option<string>("--task") { Description = $"What is asked: {string.Join(", ", RecallTasks.All.Select(each => each.Name))}.", Required = true, HelpName = "TASK" };
        var data = new Option<string>("--data", "-d") { Description = "The examples, .jsonl or .jsonl.gz; for fda also a folder with one *docs* and one *labels* file, or one of each part.", Required = true, HelpName = "FILE|FOLDER" };
        var part = new Option<string>("--part") { Description = "Which of several parts in a folder.", DefaultValueFactory = _ => "visible", HelpName = "PART" };
        var models = new Option<string[]>("--model", "-m") { Description = "Checkpoint to evaluate; given several times, later ones are compared with earlier ones. Without it, all that come with the program.", HelpName = "FOLDER|HUB-ID" };
        var readings = new Option<string>("--reading", "-r") { Description = "How documents are read, with commas between: once, twice, 3x. For JRT-RNN and prompts shorter than its prefix also padded, with spaces before them as the authors' evaluation has them, and iterated, read anew for every token that is written; twice+padded is both.", DefaultValueFactory = _ => "once,twice", HelpName = "READINGS" };
        var contexts = new Option<string>("--context", "-c") { Description = "Tokens of document and answer together, with commas between.", DefaultValueFactory = _ => "1000", HelpName = "N,N" };
        var limit = new Option<int>("--limit") { Description = "Evaluate only this many examples, spread evenly over the data; 0 for all.", HelpName = "N" };
        var result = new Option<string?>("--json") { Description = "File for the results.", HelpName = "FILE" };
        var predictions = new Option<string?>("--predictions") { Description = "File for every prediction, a line each; with it, an evaluation that was stopped goes on.", HelpName = "FILE" };
        var type = new Option<string>("--dtype") { Description = "What the matrices are kept in.", DefaultValueFactory = _ => "f32" }.AcceptOnlyFromAmong("f32", "bf16");
        var device = ModelOptions.MakeDevice();
        var threads = new Option<int>("--threads") { Description = "Processor threads to use; 0 for one a core.", HelpName = "N" };
        var quantize = ModelOptions.MakeQuantize();
        var command = new Command("eval", "Scores models on a recall task, reading once and twice, and says how certain the differences are.")
        {
            task, data, part, models, readings, contexts, limit, result, predictions, type, quantize, device, threads,
        };
        command.SetAction((parsed, cancel) =>
        {
            if (parsed.GetValue(threads) is > 0 and var n) Libtorch.Threads = n;
            var recall = RecallTasks.Named(parsed.GetValue(task)!);
            var examples = Spread(Load(recall, parsed.GetValue(data)!, parsed.GetValue(part)!), parsed.GetValue(limit));
            Condition[] conditions = [.. Conditions(parsed.GetValue(readings)!, parsed.GetValue(contexts)!)];
            string rounded = parsed.GetValue(quantize) is { } to and not "none" ? $" {to}" : "";
            using var file = new PredictionFile(parsed.GetValue(predictions), $"{recall.Name} {Hash(examples)}{rounded}");
            var runs = new List<(ModelSummary Model, IReadOnlyList<Prediction> Predictions)>();
            foreach (string name in parsed.GetValue(models) is { Length: > 0 } named ? named : ShippedModels.All)
            {
                using var checkpoint = ModelOptions.Load(name, parsed.GetValue(type)!, parsed.GetValue(quantize)!, parsed.GetValue(device)!);
                var evaluator = new Evaluator(recall, checkpoint.Model, checkpoint.Tokenizer);
                var summary = ModelSummary.Of(ShortName(name), checkpoint.Model);
                runs.Add((summary, Run(terminal, summary, evaluator, examples, conditions, file, cancel)));
            }
            Report(terminal, recall, examples.Count, runs, parsed.GetValue(result));
            return Task.FromResult(0);
        });
        return command;
    }

    private static List<Prediction> Run(
        Terminal terminal, ModelSummary model, Evaluator evaluator, List<(int Number, RecallExample Example)> examples,
        Condition[] conditions, PredictionFile file, CancellationToken cancel) => terminal.WithProgress(model.Name, progress =>
    {
        var made = new List<Prediction>();
        int done = 0;
        foreach (var condition in conditions)
        {
            var clock = Stopwatch.StartNew();
            foreach (var (number, example) in examples)
            {
                var line = file.Find(model.Hash, condition, number) ?? file.Add(model.Hash, condition, number, evaluator.Predict(example, number, condition, cancel));
                if (line.Prediction is not null) made.Add(line.Prediction);
                progress.Report((double)++done / examples.Count / conditions.Length);
            }
            model.Seconds[(condition.Name, condition.ContextLength)] = clock.Elapsed.TotalSeconds;
        }
        return made;
    });

    private static void Report(
        Terminal terminal, RecallTask task, int examples, List<(ModelSummary Model, IReadOnlyList<Prediction> Predictions)> runs, string? path)
    {
        var scores = runs.SelectMany(run => EvaluationResult.Score(run.Model.Name, run.Predictions).Select(score => (run.Model, Score: score))).ToList();
        var differences = EvaluationResult.Differences([.. runs.Select(run => (run.Model.Name, run.Predictions))]);
        if (path is not null)
        {
            var all = new
            {
                results = scores.Select(each => new
                {
                    task = task.Name,
                    model = each.Model.Name,
                    reading = each.Score.Reading,
                    context = each.Score.ContextLength,
                    n = each.Score.Score.Count,
                    score = each.Score.Score.Mean,
                    stderr = each.Score.Score.StandardError,
                    each.Score.Score.Low,
                    each.Score.Score.High,
                    documents = each.Score.Score.Clusters,
                    each.Model.StateBytes,
                    each.Model.StateBytesPerToken,
                    seconds = each.Model.Seconds.GetValueOrDefault((each.Score.Reading, each.Score.ContextLength)),
                    each.Score.ByQuestion,
                }),
                paired = differences.Select(pair => new
                {
                    pair.Better,
                    pair.Than,
                    context = pair.ContextLength,
                    n = pair.Difference.Count,
                    difference = pair.Difference.Mean,
                    stderr = pair.Difference.StandardError,
                    pair.Difference.Low,
                    pair.Difference.High,
                }),
                models = runs.Select(run => new { run.Model.Name, run.Model.Architecture, run.Model.Hash, run.Model.Parameters }),
                examples,
            };
            AtomicFile.Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(JsonSerializer.Serialize(all, json) + "\n")));
        }
        var table = new Table().AddColumns("model", "reading", "context", "examples", "score", "95 %");
        foreach (var (_, score) in scores)
            table.AddRow(Markup.Escape(score.Model), score.Reading, $"{score.ContextLength}", $"{score.Score.Count}", $"{score.Score.Mean:0.0}", $"{score.Score.Low:0.0} to {score.Score.High:0.0}");
        terminal.WriteTable(table);
        if (differences.Count == 0) return;
        var pairs = new Table().AddColumns("", "less", "context", "difference", "95 %");
        foreach (var pair in differences)
            pairs.AddRow(Markup.Escape(pair.Better), Markup.Escape(pair.Than), $"{pair.ContextLength}", $"{pair.Difference.Mean:+0.0;-0.0;0.0}", $"{pair.Difference.Low:0.0} to {pair.Difference.High:0.0}");
        terminal.WriteTable(pairs);
    }

    private static IReadOnlyList<RecallExample> Load(RecallTask task, string data, string part)
    {
        if (!Directory.Exists(data)) return [.. task.Load(data)];
        return [.. Fda.Load(Only("docs"), Only("labels"))];

        // A folder with one file of each kind says all; of several, the part does.
        string Only(string kind)
        {
            string[] found = Found($"*{kind}*");
            if (found.Length != 1) found = Found($"*{kind}*{part}*");
            return found.Length == 1 ? found[0] : throw new FileNotFoundException($"{data} holds {found.Length} files *{kind}*{part}*.jsonl or .jsonl.gz; one is needed.");
        }

        string[] Found(string pattern) =>
            [.. Directory.EnumerateFiles(data, pattern).Where(file => file.EndsWith(".jsonl", StringComparison.Ordinal) || file.EndsWith(".jsonl.gz", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];
    }

    // A folder is long to read in a table; its last part says which model it is.
    private static string ShortName(string model) => Directory.Exists(model) ? Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(model))) : model;

    private static List<(int Number, RecallExample Example)> Spread(IReadOnlyList<RecallExample> all, int limit)
    {
        if (limit < 0) throw new ArgumentException($"--limit is {limit}; 0 for all examples, or how many, is needed.");
        int count = limit == 0 ? all.Count : Math.Min(limit, all.Count);
        return [.. Enumerable.Range(0, count).Select(i => (int)((long)i * all.Count / count)).Select(number => (number, all[number]))];
    }

    private static IEnumerable<Condition> Conditions(string readings, string contexts)
    {
        foreach (string context in contexts.Split(',', StringSplitOptions.TrimEntries))
            foreach (string reading in readings.Split(',', StringSplitOptions.TrimEntries))
                yield return int.TryParse(context, out int length) && length > Evaluator.AnswerBudget
                    ? Condition.Named(reading, length)
                    : throw new ArgumentException($"--context {context} is no number of tokens above the {Evaluator.AnswerBudget} of the answer.");
    }

    private static string Hash(IEnumerable<(int Number, RecallExample Example)> examples) => Reader.HashOf(string.Join('\n', examples.Select(
        each => $"{each.Number} {each.Example.Question} {string.Join('|', each.Example.Answers)} {each.Example.Document.Length}")));
}

/// <summary>What a result says of a model.</summary>
internal sealed record ModelSummary(string Name, string Architecture, string Hash, long Parameters, long StateBytes, long StateBytesPerToken)
{
    /// <summary>How long each condition took; of predictions that were made before, nothing.</summary>
    public Dictionary<(string Reading, int ContextLength), double> Seconds { get; } = [];

    public static ModelSummary Of(string name, LanguageModel model)
    {
        using var state = model.NewState();
        return new(name, model.Architecture, model.Hash, model.ParameterCount, state.Bytes, model.StateBytesPerToken);
    }
}
