using System.CommandLine;
using ReadTwice.Native;
using ReadTwice.Training;

namespace ReadTwice.Cli;

/// <summary>jrt train: trains a model.</summary>
internal static class TrainCommand
{
    public static Command Make(Terminal terminal)
    {
        var config = new Argument<string>("CONFIG") { Description = "The run as JSON: model, phases, objective, learning rates." };
        var data = new Option<string>("--data", "-d") { Description = "Folder with the sequences that the config names.", Required = true, HelpName = "FOLDER" };
        var tokenizer = new Option<string>("--tokenizer", "-t") { Description = "Folder with tokenizer.json.", Required = true, HelpName = "FOLDER" };
        var output = new Option<string>("--out", "-o") { Description = "Folder for checkpoints, log and the trained model; made if need be.", Required = true, HelpName = "FOLDER" };
        var from = new Option<string?>("--from") { Description = "Checkpoint whose weights are the first ones; without it they are drawn.", HelpName = "FOLDER" };
        var device = ModelOptions.MakeDevice();
        var threads = new Option<int>("--threads") { Description = "Processor threads to use; 0 for one a core.", HelpName = "N" };
        var json = JsonOption.Make();
        var command = new Command("train", "Trains a model. Stopped, it goes on where it was when run again, to the same weights.") { config, data, tokenizer, output, from, device, threads, json };
        command.SetAction((parsed, cancel) =>
        {
            Libtorch.Require();
            if (parsed.GetValue(threads) is > 0 and var n) Libtorch.Threads = n;
            using var trainer = new Trainer(
                TrainingConfig.Load(parsed.GetValue(config)!), parsed.GetValue(data)!, parsed.GetValue(tokenizer)!, parsed.GetValue(output)!, parsed.GetValue(from),
                ModelOptions.Device(parsed.GetValue(device)!));
            terminal.Error.WriteLine($"{trainer.Model.Architecture}: {trainer.Model.ParameterCount:N0} parameters.");
            trainer.Run(report => Tell(terminal, report, parsed.GetValue(json)), cancel);
            if (!parsed.GetValue(json)) terminal.Error.WriteLine($"{trainer.ExportFolder}: the trained model.");
            return Task.FromResult(0);
        });
        return command;
    }

    private static void Tell(Terminal terminal, TrainingReport report, bool json)
    {
        const int Lines = 200;   // so many for a whole run are enough to read
        if (json)
        {
            terminal.WriteJson(report);
            return;
        }
        if (report.Validation is null && report.Step % Math.Max(1, report.Steps / Lines) != 0) return;
        terminal.Error.WriteLine(
            $"{report.Step}/{report.Steps} {report.Data}: loss {report.Loss:0.000}, answers {report.Answers:0.000} ({report.AnswersRight:0.0%} right), " +
            $"{report.TokensPerSecond:N0} tokens/s, {TimeSpan.FromSeconds(Math.Round(report.SecondsLeft))} left");
        if (report.Validation is { } validation)
            terminal.Error.WriteLine($"  validation: next {validation.Next:0.000}, masked {validation.Masked:0.000}, answers {validation.Answers:0.000} ({validation.AnswersRight:0.0%} right)");
    }
}
