using System.CommandLine;

namespace ReadTwice.Cli;

/// <summary>jrt generate: writes on from a text.</summary>
internal static class GenerateCommand
{
    public static Command Make(Terminal terminal)
    {
        var prompt = new Argument<string?>("PROMPT") { Description = "Text to continue; without it, what is piped in.", Arity = ArgumentArity.ZeroOrOne };
        var (model, continuation, padding, json) = (new ModelOptions(), new ContinuationOptions(128, stop: null), PaddingOption.Make(), JsonOption.Make());
        var command = new Command("generate", "Continues a text.") { prompt };
        model.AddTo(command);
        continuation.AddTo(command);
        command.Add(padding);
        command.Add(json);
        command.SetAction((parsed, cancel) =>
        {
            string text = parsed.GetValue(prompt) ?? terminal.In.ReadToEnd();
            if (text.Length == 0) throw new ArgumentException("The prompt is empty; some text to continue is needed.");
            var how = continuation.Read(parsed);
            using var checkpoint = model.Load(parsed);
            var ids = checkpoint.Tokenizer.Encode(text);
            var generator = new Generator(checkpoint.Model, checkpoint.Tokenizer);
            var (state, tokens) = generator.Begin(ids, PaddingOption.Read(parsed, padding));
            using (state)
            {
                generator.Read(state, tokens, cancel: cancel);
                var answer = Answer.Write(terminal, generator, state, how, ids, echo: !parsed.GetValue(json), cancel);
                if (parsed.GetValue(json)) terminal.WriteJson(new { prompt_tokens = ids.Count, answer.Text, answer.Tokens, answer.TokensPerSecond });
            }
            return Task.FromResult(0);
        });
        return command;
    }
}
