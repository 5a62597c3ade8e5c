using System.Security.Cryptography;
using System.Text;
using ReadTwice.Checkpoints;

namespace ReadTwice.Training;

/// <summary>A part of a training run: which sequences are read, and for how many updates.</summary>
/// <param name="Data">Name of a <see cref="TokenFile"/> in the data folder.</param>
/// <param name="Steps">Updates.</param>
public sealed record TrainingPhase(string Data, long Steps);

/// <summary>All that decides a training run, from a JSON file; the defaults are those of JRT-RNN's authors.</summary>
public sealed record TrainingConfig
{
    /// <summary>The model's config.json.</summary>
    public required ConfigJson Model { get; init; }

    /// <summary>The parts of the run, in order.</summary>
    public required IReadOnlyList<TrainingPhase> Phases { get; init; }

    /// <summary>What is learnt.</summary>
    public required Objective Objective { get; init; }

    /// <summary>Tokens of a batch; whole sequences are taken, at least one.</summary>
    public required int BatchTokens { get; init; }

    /// <summary>Batches whose gradients are averaged for one update.</summary>
    public int Accumulation { get; init; } = 1;

    /// <summary>The highest learning rate.</summary>
    public double PeakRate { get; init; } = 8e-4;

    /// <summary>The learning rate at the end.</summary>
    public double FinalRate { get; init; } = 8e-5;

    /// <summary>Updates until the highest learning rate.</summary>
    public long WarmUp { get; init; }

    /// <summary>How likely a token of the prefix is masked.</summary>
    public double MaskRate { get; init; } = 0.15;

    /// <summary>The weight of the masked tokens' loss.</summary>
    public double MaskWeight { get; init; } = 0.25;

    /// <summary>The weight of an answer's tokens among the others.</summary>
    public double AnswerWeight { get; init; } = 1;

    /// <summary>The optimiser's numbers.</summary>
    public AdamW Optimizer { get; init; } = new(0.9, 0.95, 1e-8, 0.1);

    /// <summary>Whether the norms' weights decay, which the authors' do though their config says otherwise.</summary>
    public bool DecayNorms { get; init; }

    /// <summary>Gradients whose norm is above it are scaled down to it; 0 for no limit.</summary>
    public double Clip { get; init; } = 1;

    /// <summary>How slowly an average of the weights follows, which is then what is exported; 0 for none.</summary>
    public double Average { get; init; }

    /// <summary>Standard deviation of the first matrices; those into the residual stream are divided by √(2 layers).</summary>
    public double FirstDeviation { get; init; } = 0.02;

    /// <summary>Whether linear attention starts as <see cref="RecallStart"/> has it.</summary>
    public bool StartsRecalling { get; init; }

    /// <summary>Decides the first weights, the order of the sequences and the masks.</summary>
    public int Seed { get; init; } = 1111;

    /// <summary>Whether matrices are multiplied in bfloat16; the weights themselves are float32 always.</summary>
    public bool Bfloat16 { get; init; }

    /// <summary>Updates between two checkpoints.</summary>
    public long SaveEvery { get; init; } = 100;

    /// <summary>Name of a <see cref="TokenFile"/> to measure the loss on at every checkpoint, or null.</summary>
    public string? Validation { get; init; }

    /// <summary>Updates of all phases.</summary>
    public long Steps => Phases.Sum(phase => phase.Steps);

    /// <summary>A hash of the config's content, in hexadecimal: only equal runs go on from one another's checkpoints.</summary>
    public required string Hash { get; init; }

    /// <summary>The learning rates of the run.</summary>
    public LearningRate LearningRate => new(PeakRate, FinalRate, WarmUp, Steps - WarmUp);

    /// <summary>Reads a file.</summary>
    /// <exception cref="FileNotFoundException">There is none.</exception>
    /// <exception cref="InvalidDataException">A value is missing, of another kind or out of its range.</exception>
    public static TrainingConfig Load(string path) => Read(ConfigJson.Load(path));

    /// <summary>Reads a parsed file.</summary>
    /// <exception cref="InvalidDataException">A value is missing, of another kind or out of its range.</exception>
    public static TrainingConfig Read(ConfigJson json)
    {
        foreach (string key in json.Keys)
            if (!known.Contains(key)) throw new InvalidDataException($"{json.Where(key)} is not known. Known: {string.Join(", ", known)}.");
        var config = new TrainingConfig
        {
            Model = json.Object("model") ?? throw Missing(json, "model", "the model's config.json as an object"),
            Phases = ReadPhases(json),
            Objective = ReadObjective(json),
            BatchTokens = (int)Within(json, "batch_tokens", json.Long("batch_tokens"), 1, 1 << 24),
            Accumulation = (int)Within(json, "accumulation", json.Long("accumulation", 1), 1, 1 << 16),
            PeakRate = Within(json, "peak_rate", json.Double("peak_rate", 8e-4), 0, 1),
            FinalRate = Within(json, "final_rate", json.Double("final_rate", 8e-5), 0, 1),
            WarmUp = (long)Within(json, "warm_up", json.Long("warm_up", 0), 0, long.MaxValue),
            MaskRate = Within(json, "mask_rate", json.Double("mask_rate", 0.15), 0, 1),
            MaskWeight = Within(json, "mask_weight", json.Double("mask_weight", 0.25), 0, double.MaxValue),
            AnswerWeight = Within(json, "answer_weight", json.Double("answer_weight", 1), 0, double.MaxValue),
            Optimizer = new(
                Within(json, "beta1", json.Double("beta1", 0.9), 0, 1), Within(json, "beta2", json.Double("beta2", 0.95), 0, 1),
                Within(json, "epsilon", json.Double("epsilon", 1e-8), 0, 1), Within(json, "weight_decay", json.Double("weight_decay", 0.1), 0, 1)),
            DecayNorms = json.Bool("decay_norms", true),
            Clip = Within(json, "clip", json.Double("clip", 1), 0, double.MaxValue),
            Average = Within(json, "average", json.Double("average", 0), 0, 1),
            FirstDeviation = Within(json, "first_deviation", json.Double("first_deviation", 0.02), 0, 1),
            StartsRecalling = ReadStart(json),
            Seed = (int)Within(json, "seed", json.Long("seed", 1111), 0, int.MaxValue),
            Bfloat16 = ReadType(json),
            SaveEvery = (long)Within(json, "save_every", json.Long("save_every", 100), 1, long.MaxValue),
            Validation = json.Has("validation") ? json.String("validation") : null,
            Hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(json.ToString()))),
        };
        if (config.WarmUp > config.Steps)
            throw new InvalidDataException($"{json.Where("warm_up")} is {config.WarmUp}; at most the {config.Steps} steps of all phases are needed.");
        return config;
    }

    private static readonly string[] known =
    [
        "model", "phases", "objective", "batch_tokens", "accumulation", "peak_rate", "final_rate", "warm_up", "mask_rate", "mask_weight", "answer_weight",
        "beta1", "beta2", "epsilon", "weight_decay", "decay_norms", "clip", "average", "first_deviation", "start", "seed", "dtype", "save_every", "validation",
    ];

    private static TrainingPhase[] ReadPhases(ConfigJson json)
    {
        var phases = json.Strings("phases") ?? throw Missing(json, "phases", "a list like [\"train.seq 1000\"], a file and a number of steps each,");
        if (phases.Count == 0) throw new InvalidDataException($"{json.Where("phases")} is empty; at least one phase is needed.");
        return [.. phases.Select((phase, i) =>
            phase.LastIndexOf(' ') is > 0 and var space && long.TryParse(phase[(space + 1)..], out long steps) && steps > 0
                ? new TrainingPhase(phase[..space], steps)
                : throw new InvalidDataException($"{json.Where($"phases[{i}]")} is \"{OneLine.Of(phase)}\"; a file, a space and a number of steps are needed."))];
    }

    private static Objective ReadObjective(ConfigJson json) => json.String("objective") switch
    {
        "next-token" => Objective.NextToken,
        "prefix-next-token" => Objective.PrefixNextToken,
        "masked-prefix" => Objective.MaskedPrefix,
        var other => throw new InvalidDataException($"{json.Where("objective")} is \"{OneLine.Of(other)}\"; known: next-token, prefix-next-token, masked-prefix."),
    };

    private static bool ReadStart(ConfigJson json) => json.String("start", "random") switch
    {
        "random" => false,
        "recall" => true,
        var other => throw new InvalidDataException($"{json.Where("start")} is \"{OneLine.Of(other)}\"; known: random, recall."),
    };

    private static bool ReadType(ConfigJson json) => json.String("dtype", "f32") switch
    {
        "f32" => false,
        "bf16" => true,
        var other => throw new InvalidDataException($"{json.Where("dtype")} is \"{OneLine.Of(other)}\"; known: f32, bf16."),
    };

    private static double Within(ConfigJson json, string key, double value, double least, double most) =>
        value >= least && value <= most ? value : throw new InvalidDataException($"{json.Where(key)} is {value}; {least} to {most} is possible.");

    private static InvalidDataException Missing(ConfigJson json, string key, string need) => new($"{json.Where(key)} is missing; {need} is needed.");
}
