using System.CommandLine;
using System.Diagnostics;
using ReadTwice.Checkpoints;
using ReadTwice.Documents;

namespace ReadTwice.Cli;

/// <summary>jrt read: reads a document and answers questions about it.</summary>
internal static class ReadCommand
{
    public static Command Make(Terminal terminal)
    {
        var document = new Argument<string?>("DOCUMENT") { Description = "A .txt, .md, .html or .pdf file; not needed with --state.", Arity = ArgumentArity.ZeroOrOne };
        var questions = new Option<string[]>("--ask", "-a") { Description = "A question, or the words that the answer continues. May be given several times.", HelpName = "TEXT" };
        var reading = ReadingOption.Make("How the document is read before a question: once, twice, or a number of times; question-first puts the question before it too.");
        var save = new Option<string?>("--save-state") { Description = "Keep what was read in this file, to ask again without reading again.", HelpName = "FILE" };
        var load = new Option<string?>("--state") { Description = "Ask what was read before and kept in this file.", HelpName = "FILE" };
        var (model, continuation, padding, json) = (new ModelOptions(), new ContinuationOptions(48, "\\n"), PaddingOption.Make(), JsonOption.Make());
        var command = new Command("read", "Reads a document once or twice into a small state, and answers questions from it.") { document, questions, reading, save, load };
        model.AddTo(command);
        continuation.AddTo(command);
        command.Add(padding);
        command.Add(json);
        command.SetAction((parsed, cancel) =>
        {
            var run = new Session(
                terminal, parsed.GetValue(document), parsed.GetValue(questions) ?? [], ReadingOption.Read(parsed, reading),
                parsed.GetValue(save), parsed.GetValue(load), continuation.Read(parsed), PaddingOption.Read(parsed, padding), parsed.GetValue(json));
            run.Check();
            using var checkpoint = model.Load(parsed);
            run.Run(checkpoint, cancel);
            return Task.FromResult(0);
        });
        return command;
    }

    private sealed record Session(
        Terminal Terminal, string? Document, string[] Questions, Reading? Asked,
        string? Save, string? Load, Continuation Continuation, PaddingRule Padding, bool Json)
    {
        public void Check()
        {
            if (Document is null == Load is null)
                throw new ArgumentException("Either a DOCUMENT to read or a --state that was kept is needed, and not both.");
            if (Questions.Length == 0 && Save is null) throw new ArgumentException("There is nothing to do: --ask a question, or --save-state.");
            if (Questions.Any(string.IsNullOrWhiteSpace)) throw new ArgumentException("A question is empty.");
            if (Asked is { QuestionFirst: true } && (Save is not null || Load is not null))
                throw new ArgumentException("A document that is read with the question first is read anew for each question: no state of it alone exists. Leave --save-state and --state, or question-first.");
        }

        public void Run(Checkpoint checkpoint, CancellationToken cancel)
        {
            var reading = Asked ?? ReadingOption.Default(checkpoint.Model);
            var reader = new Reader(checkpoint.Model, checkpoint.Tokenizer, Padding);
            string? text = Document is null ? null : DocumentText.Load(Document, cancel);
            var clock = Stopwatch.StartNew();
            using var read = Load is not null ? reader.Load(Load) : reading.QuestionFirst ? null : ReadDocument(reader, text!, reading, cancel);
            double seconds = clock.Elapsed.TotalSeconds;
            if (Save is not null) read!.Save(Save);

            long tokensRead = Load is null ? read?.Position ?? 0 : 0;
            var answers = new List<object>();
            foreach (string question in Questions)
            {
                if (!Json && Questions.Length > 1) Terminal.Out.WriteLine(question);
                clock.Restart();
                var (state, asked) = read is null
                    ? reader.ReadWithQuestion(text!, question, reading, cancel)
                    : reader.Ask(read, question, cancel);
                using (state)
                {
                    double prefill = clock.Elapsed.TotalSeconds;
                    var answer = Answer.Write(Terminal, reader.Generator, state, Continuation, asked, echo: !Json, cancel);
                    if (read is null) tokensRead += asked.Count;
                    answers.Add(new
                    {
                        question,
                        answer = answer.Text,
                        tokens = answer.Tokens,
                        question_tokens = asked.Count,
                        seconds_to_first_token = prefill + answer.SecondsToFirst + (answers.Count == 0 ? seconds : 0),
                        tokens_per_second = answer.TokensPerSecond,
                    });
                    if (!Json) Figures(state, tokensRead, read, seconds, prefill + answer.SecondsToFirst, answer, answers.Count == 1);
                }
            }
            if (Json)
            {
                Terminal.WriteJson(new
                {
                    document = Document,
                    state = Load ?? Save,
                    model = checkpoint.Folder,
                    architecture = checkpoint.Model.Architecture,
                    reading = read?.Source?.Reading ?? reading.ToString(),
                    tokens_read = tokensRead,
                    tokens_reused = Load is null ? 0 : read!.Position,
                    state_bytes = read?.Bytes,
                    seconds_reading = seconds,
                    answers,
                });
            }
            else if (Questions.Length == 0)
            {
                Terminal.Error.WriteLine($"Read {tokensRead:N0} tokens in {seconds:0.0} s and kept {read!.Bytes:N0} bytes in {Save}.");
            }
        }

        private RecurrentState ReadDocument(Reader reader, string text, Reading reading, CancellationToken cancel) =>
            Terminal.WithProgress("reading", progress => reader.Read(text, reading, progress, cancel));

        private void Figures(RecurrentState state, long tokensRead, RecurrentState? read, double seconds, double toFirst, Answer answer, bool isFirst)
        {
            string reused = Load is not null ? $"read 0 of {read!.Position:N0} tokens"
                : isFirst || read is null ? $"read {tokensRead:N0} tokens" : $"reused {read.Position:N0} tokens";
            double wait = isFirst && read is not null ? seconds + toFirst : toFirst;
            Terminal.Error.WriteLine($"[{reused}; state {state.Bytes:N0} bytes; first token after {wait:0.00} s; {answer.TokensPerSecond:0.0} tokens a second]");
        }
    }
}
