using System.Diagnostics;
using System.Text.Json;
using ReadTwice.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Training;

/// <summary>What is known after an update.</summary>
/// <param name="Step">Updates that were made.</param>
/// <param name="Steps">Updates of the whole run.</param>
/// <param name="Data">The file that was read.</param>
/// <param name="Loss">The loss, its parts weighed and added.</param>
/// <param name="Next">Loss of the next tokens.</param>
/// <param name="Masked">Loss of the masked tokens.</param>
/// <param name="Answers">Loss of the answers' tokens.</param>
/// <param name="AnswersRight">The part of the answers' tokens that the model thinks likeliest.</param>
/// <param name="Rate">The learning rate.</param>
/// <param name="Norm">The gradients' norm, before clipping.</param>
/// <param name="TokensPerSecond">Tokens that were read.</param>
/// <param name="SecondsLeft">How long the rest will take at this pace.</param>
public sealed record TrainingReport(
    long Step, long Steps, string Data, double Loss, double Next, double Masked, double Answers, double AnswersRight,
    double Rate, double Norm, double TokensPerSecond, double SecondsLeft)
{
    /// <summary>The same four numbers on the validation data, at a checkpoint; null elsewhere.</summary>
    public ValidationReport? Validation { get; init; }
}

/// <summary>What a model makes of data it is not trained on.</summary>
/// <param name="Next">Loss of the next tokens.</param>
/// <param name="Masked">Loss of the masked tokens.</param>
/// <param name="Answers">Loss of the answers' tokens.</param>
/// <param name="AnswersRight">The part of the answers' tokens that the model thinks likeliest.</param>
public sealed record ValidationReport(double Next, double Masked, double Answers, double AnswersRight);

/// <summary>Trains a model from the beginning, or from where an earlier run was stopped, to the same weights either way.</summary>
/// <remarks>
/// The output folder holds training.safetensors (the last checkpoint), log.jsonl (a line an update) and model (the exported
/// checkpoint, written with every checkpoint).
/// </remarks>
public sealed class Trainer : IDisposable
{
    private readonly TrainingConfig config;
    private readonly string output;
    private readonly string tokenizerFile;
    private readonly Checkpoint checkpoint;
    private readonly List<TokenFile> files = [];
    private readonly List<(SequenceOrder Order, TokenFile File, long First)> phases = [];
    private readonly TokenFile? validation;
    private readonly IReadOnlyList<TrainedParameter> parameters;
    private readonly IReadOnlyList<float[]> averages;
    private readonly LabelRules rules;
    private readonly string run;

    /// <summary>Builds the model and opens the data.</summary>
    /// <param name="config">The run.</param>
    /// <param name="data">Folder with the files that the config names.</param>
    /// <param name="tokenizer">Folder with tokenizer.json.</param>
    /// <param name="output">Folder for checkpoints, log and result; made if need be.</param>
    /// <param name="from">Folder of a checkpoint of the same shape whose weights are the first ones; null to draw them.</param>
    /// <param name="device">Where the model lies and computes; null for the processor.</param>
    /// <exception cref="InvalidDataException">Something does not fit; the message says what.</exception>
    public Trainer(TrainingConfig config, string data, string tokenizer, string output, string? from = null, Device? device = null)
    {
        (this.config, this.output) = (config, output);
        tokenizerFile = Path.Combine(tokenizer, "tokenizer.json");
        if (!File.Exists(tokenizerFile)) throw new FileNotFoundException($"{tokenizerFile} does not exist; jrt tokenizer train writes one.", tokenizerFile);
        var words = HfTokenizer.FromFolder(tokenizer);
        checkpoint = Checkpoint.New("the model to train", config.Model, words, config.Seed, config.Bfloat16 ? ScalarType.BFloat16 : ScalarType.Float32, device: device);
        try
        {
            Export.Require(checkpoint.Family);
            string start = "drawn";
            if (from is not null) start = TrainingSetup.Copy(from, Model);
            else Draw();
            parameters = TrainingSetup.Parameters(Model, config.DecayNorms);
            averages = config.Average == 0 ? [] : [.. parameters.Select(parameter => parameter.Value.ToArray())];
            rules = new(config.Objective, (int)Model.VocabularyRows - 1)
            {
                MaskRate = config.MaskRate,
                MaskWeight = config.MaskWeight,
                AnswerWeight = config.AnswerWeight,
            };
            RequireRoomForTheMask(words);
            long first = 0;
            foreach (var phase in config.Phases)
            {
                var file = Open(Path.Combine(data, phase.Data));
                phases.Add((new(file, config.BatchTokens, SequenceOrder.HashCode(config.Seed, phases.Count)), file, first));
                first += phase.Steps;
            }
            if (config.Validation is { } name) validation = Open(Path.Combine(data, name));
            run = $"{config.Hash} {start} {words.Hash} {string.Join(' ', files.Select(file => $"{file.Count}/{file.Tokens}"))}";
            Directory.CreateDirectory(output);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    private void Draw()
    {
        using var chance = new torch.Generator((ulong)config.Seed);
        TrainingSetup.Draw(Model, config.FirstDeviation, chance);
        if (config.StartsRecalling) RecallStart.Apply(Model, config.FirstDeviation, chance);
    }

    /// <summary>The model, owned by the trainer.</summary>
    public LanguageModel Model => checkpoint.Model;

    /// <summary>The folder of the exported model.</summary>
    public string ExportFolder => Path.Combine(output, "model");

    private string CheckpointFile => Path.Combine(output, "training.safetensors");

    /// <summary>Trains to the end, or until stopped: the last update that was made is then kept.</summary>
    /// <param name="report">Told of every update.</param>
    /// <param name="cancel">Asked between updates.</param>
    /// <exception cref="InvalidDataException">The loss is no number any more; the last good checkpoint stays.</exception>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    public void Run(Action<TrainingReport> report, CancellationToken cancel = default)
    {
        long done = TrainingCheckpoint.Load(CheckpointFile, run, parameters, averages), saved = done;
        using var log = new StreamWriter(Path.Combine(output, "log.jsonl"), append: true) { AutoFlush = true };
        Model.train();
        var clock = Stopwatch.StartNew();
        long from = done, tokens = 0;
        while (done < config.Steps)
        {
            if (cancel.IsCancellationRequested)
            {
                if (saved < done) Save(done);
                cancel.ThrowIfCancellationRequested();
            }
            var (data, parts, read, norm) = Update(done);
            tokens += read;
            done++;
            double seconds = clock.Elapsed.TotalSeconds;
            var now = new TrainingReport(
                done, config.Steps, data, parts.Next + config.MaskWeight * parts.Masked, parts.Next, parts.Masked, parts.Answers,
                parts.AnswerTokens == 0 ? 0 : (double)parts.AnswersRight / parts.AnswerTokens, config.LearningRate.At(done - 1), norm,
                tokens / seconds, seconds / (done - from) * (config.Steps - done));
            if (done % config.SaveEvery == 0 || done == config.Steps)
            {
                Save(saved = done);
                now = now with { Validation = Validate() };
            }
            log.WriteLine(JsonSerializer.Serialize(now, TrainingLog.Options));
            report(now);
        }
        if (from == config.Steps) Save(done);
        Model.eval();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var file in files) file.Dispose();
        checkpoint.Dispose();
    }

    private (string Data, LossParts Parts, long Tokens, double Norm) Update(long step)
    {
        var (order, file, first) = phases.Last(phase => phase.First <= step);
        var sum = new LossParts(0, 0, 0, 0, 0);
        long tokens = 0;
        for (int i = 0; i < config.Accumulation; i++)
        {
            using var scope = NewDisposeScope();
            long number = (step - first) * config.Accumulation + i;
            var batch = Lay(file, order[number], SequenceOrder.HashCode(config.Seed, ~(step * config.Accumulation + i)));
            var (loss, parts) = PrefixLoss.Of(Model, batch, config.MaskWeight);
            RequireNumber(loss.item<float>(), step, file, order[number]);
            loss.backward();
            foreach (var parameter in parameters) parameter.TakeGradient(1.0 / config.Accumulation);
            sum = Add(sum, parts, config.Accumulation);
            tokens += batch.Tokens.Length;
        }
        double norm = AdamW.Norm(parameters);
        RequireNumber(norm, step, file, order[(step - first) * config.Accumulation]);
        config.Optimizer.Update(parameters, config.LearningRate.At(step), step + 1, config.Clip > 0 && norm > config.Clip ? config.Clip / norm : 1);
        for (int p = 0; p < averages.Count; p++)
            for (int i = 0; i < averages[p].Length; i++)
                averages[p][i] += (float)(1 - config.Average) * (parameters[p].Value[i] - averages[p][i]);
        return (file.Name, sum, tokens, norm);
    }

    private TrainingBatch Lay(TokenFile file, IReadOnlyList<int> sequences, int seed) =>
        TrainingBatch.Lay([.. sequences.Select(sequence => file[sequence])], rules, new Random(seed));

    private ValidationReport? Validate()
    {
        if (validation is null) return null;
        using var inference = no_grad();
        // What is exported is what is measured.
        for (int p = 0; p < averages.Count; p++) parameters[p].Publish(averages[p]);
        var order = new SequenceOrder(validation, config.BatchTokens, config.Seed);
        var sum = new LossParts(0, 0, 0, 0, 0);
        for (int i = 0; i < order.BatchesPerEpoch; i++)
        {
            using var scope = NewDisposeScope();
            // The same masks at every checkpoint, so that the numbers can be compared.
            var (_, parts) = PrefixLoss.Of(Model, Lay(validation, order[i], i), config.MaskWeight);
            sum = Add(sum, parts, order.BatchesPerEpoch);
        }
        if (averages.Count > 0) foreach (var parameter in parameters) parameter.Publish();
        return new(sum.Next, sum.Masked, sum.Answers, sum.AnswerTokens == 0 ? 0 : (double)sum.AnswersRight / sum.AnswerTokens);
    }

    private static LossParts Add(LossParts sum, LossParts parts, int of) => new(
        sum.Next + parts.Next / of, sum.Masked + parts.Masked / of, sum.Answers + parts.Answers / of,
        sum.AnswerTokens + parts.AnswerTokens, sum.AnswersRight + parts.AnswersRight);

    private void Save(long step)
    {
        TrainingCheckpoint.Save(CheckpointFile, run, step, parameters, averages);
        Export.Write(
            ExportFolder, checkpoint.Family, config.Model, tokenizerFile, parameters,
            averages.Count > 0 ? averages : [.. parameters.Select(parameter => parameter.Value)], config.Bfloat16);
    }

    private TokenFile Open(string path)
    {
        var file = new TokenFile(path);
        files.Add(file);
        if (file.VocabularySize > Model.VocabularyRows)
            throw new InvalidDataException($"{path} has a vocabulary of {file.VocabularySize}; the model's of {Model.VocabularyRows} rows is too small. Raise vocab_size in its config.");
        for (int i = 0; i < file.Count; i++)
            if (Model.EncoderLength > 0 && file.ShapeOf(i).Prefix > Model.EncoderLength)
                throw new InvalidDataException($"{path}: sequence {i} has a prefix of {file.ShapeOf(i).Prefix} tokens; the model's enc_length is {Model.EncoderLength}.");
        return file;
    }

    private void RequireRoomForTheMask(Tokenizer words)
    {
        if (config.Objective == Objective.MaskedPrefix && words.VocabularySize >= Model.VocabularyRows)
            throw new InvalidDataException($"the model has {Model.VocabularyRows} rows and the tokenizer {words.VocabularySize} tokens; the mask needs a row of its own. Raise vocab_size in the model's config by one.");
    }

    private void RequireNumber(double value, long step, TokenFile file, IReadOnlyList<int> sequences)
    {
        if (double.IsFinite(value)) return;
        long kept = step / config.SaveEvery * config.SaveEvery;
        throw new InvalidDataException(
            $"The loss or its gradient is {value} in update {step + 1} ({file.Name}, sequences {string.Join(' ', sequences.Take(8))}); " +
            $"{(kept > 0 ? $"the checkpoint of update {kept} is kept in {output}" : "there was no checkpoint yet")}. A lower peak_rate or another seed may help.");
    }
}
