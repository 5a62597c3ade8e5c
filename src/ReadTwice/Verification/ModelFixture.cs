using System.Text.Json;
using System.Text.RegularExpressions;
using ReadTwice.Checkpoints;
using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Verification;

/// <summary>
/// A checkpoint with what the authors' code computes for it: config.json and weights, input_ids.json with prompts and the tokens
/// that follow, expected.safetensors with logits and states. Running it shows whether the checkpoint is read and computed right.
/// </summary>
public sealed partial class ModelFixture : IDisposable
{
    /// <summary>Float32 sums in another order; an independent implementation of these fixtures stays within 1.8e-5.</summary>
    private static readonly Tolerance plain = new(1e-4, 0);

    /// <summary>For fixtures computed in float64 and rounded, whose values are not of one size.</summary>
    private static readonly Tolerance wide = new(2e-4, 1e-4);

    private readonly Checkpoint checkpoint;
    private readonly WeightFiles files;
    private readonly Dictionary<string, Tensor> expected;
    private readonly Inputs inputs;
    private readonly Tolerance tolerance;

    private ModelFixture(Checkpoint checkpoint, WeightFiles files, Inputs inputs)
    {
        (this.checkpoint, this.files, this.inputs) = (checkpoint, files, inputs);
        expected = files.Tensors.ToDictionary(entry => entry.Key, entry => TensorMemory.Map(entry.Value).DetachFromDisposeScope());
        tolerance = expected.Keys.Any(name => name.Contains(".state.layer", StringComparison.Ordinal) || name.EndsWith(".logits_last4", StringComparison.Ordinal))
            ? wide : plain;
    }

    /// <summary>The checkpoint's published form.</summary>
    public string Family => checkpoint.Family.Name;

    /// <summary>Opens a fixture's folder.</summary>
    /// <exception cref="InvalidDataException">A file is missing or damaged; the message says which.</exception>
    public static ModelFixture Open(string folder)
    {
        string inputs = Path.Combine(folder, "input_ids.json"), expected = Path.Combine(folder, "expected.safetensors");
        foreach (string file in (string[])[inputs, expected])
            if (!File.Exists(file)) throw new FileNotFoundException($"{file} is missing; a fixture is a checkpoint with input_ids.json and expected.safetensors beside it.");
        var parsed = Inputs.Load(inputs);
        var checkpoint = Checkpoint.Load(folder);
        try
        {
            return new(checkpoint, WeightFiles.Open(expected), parsed);
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    /// <summary>Runs every case: logits of the prompt, the state after it, logits of each token that follows, and greedy continuation.</summary>
    public IEnumerable<Comparison> Run()
    {
        foreach (var @case in inputs.Cases)
            foreach (var comparison in Run(@case)) yield return comparison;
        if (inputs.Greedy is { } greedy) yield return Run(greedy);
    }

    private List<Comparison> Run(Case @case)
    {
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        var model = checkpoint.Model;
        var results = new List<Comparison>();
        var prompt = Ids(@case.InputIds);
        using var state = model.NewState(prompt.size(0), @case.Padding());
        var logits = model.Logits(prompt, state, Math.Min(model.EncoderLength, prompt.size(1)));

        if (Expected($"{@case.Name}.logits") is { } theirs)
            results.Add(Compare(@case.Name, "prompt logits", Real(logits, @case), Real(theirs, @case)));
        if (Expected($"{@case.Name}.logits_last4") is { } last)
            results.Add(Compare(@case.Name, "last 4 prompt logits", logits.narrow(1, logits.size(1) - 4, 4), last));
        results.AddRange(States(@case.Name, state));

        if (Expected($"{@case.Name}.decode_logits") is { } decoded)
        {
            var following = Ids(@case.DecodeIds);
            var steps = Enumerable.Range(0, (int)following.size(1)).Select(n => model.Step(following.select(1, n), state));
            results.Add(Compare(@case.Name, "decode logits", stack([.. steps], 1), decoded));
        }
        return results;
    }

    // A padded row's own logits mean nothing, except where the authors' code defines them (JRT-RNN reads its padding).
    private Tensor Real(Tensor logits, Case @case)
    {
        if (@case.AttentionMask is null || checkpoint.Model.EncoderLength > 0) return logits;
        return logits * Ids(@case.AttentionMask).unsqueeze(-1).to(logits.dtype);
    }

    private IEnumerable<Comparison> States(string name, RecurrentState state)
    {
        for (int i = 0; i < state.Count; i++)
        {
            var ours = checkpoint.Model.Blocks[i].AsPublished(state[i], state.Position);
            foreach (var (part, tensor) in ours)
            {
                if (Expected($"{name}.state.{i}.{part}", $"{name}.state.layer{i}.{part}") is not { } theirs) continue;
                yield return Compare(name, $"state {i} {part}", tensor, Newest(theirs, tensor));
            }
        }

        // A state that the fixture has and we have not is a difference too.
        var layers = expected.Keys.Select(key => LayerState().Match(key)).Where(match => match.Success && match.Groups[1].Value == name);
        foreach (var match in layers)
        {
            int i = int.Parse(match.Groups[2].Value);
            string part = match.Groups[3].Value;
            if (i >= state.Count || !checkpoint.Model.Blocks[i].AsPublished(state[i], state.Position).ContainsKey(part))
                yield return new(name, $"state {i} {part}", double.NaN, 0, "the model keeps no such state.");
        }
        foreach (var (key, theirs) in expected.Where(entry => WholeState().IsMatch(entry.Key) && entry.Key.StartsWith(name + ".", StringComparison.Ordinal)))
        {
            string part = key[(key.LastIndexOf('.') + 1)..];
            var layersOfPart = Enumerable.Range(0, state.Count).Select(i => checkpoint.Model.Blocks[i].AsPublished(state[i], state.Position));
            if (!layersOfPart.All(layer => layer.ContainsKey(part))) yield return new(name, $"state {part}", double.NaN, 0, "the model keeps no such state.");
            else yield return Compare(name, $"state {part}", stack([.. layersOfPart.Select(layer => layer[part])], -1), theirs);
        }
    }

    // The authors keep the last K inputs of a filter, of which K - 1 are ever read again; a window keeps the newest keys.
    private static Tensor Newest(Tensor theirs, Tensor ours)
    {
        if (theirs.dim() != ours.dim()) return theirs;
        for (int axis = 1; axis < theirs.dim(); axis++)
            if (theirs.size(axis) > ours.size(axis)) theirs = theirs.narrow(axis, theirs.size(axis) - ours.size(axis), ours.size(axis));
        return theirs;
    }

    private Comparison Run(Greedy greedy)
    {
        using var scope = NewDisposeScope();
        var model = checkpoint.Model;
        var @case = inputs.Cases.FirstOrDefault(@case => @case.Name == greedy.PromptCase)
            ?? throw new InvalidDataException($"input_ids.json: greedy refers to the case \"{greedy.PromptCase}\", which is missing.");
        var prompt = Ids([@case.InputIds[greedy.Row]]);
        using var state = model.NewState();
        var logits = model.Prefill(prompt, state, Math.Min(model.EncoderLength, prompt.size(1)));
        var ids = new List<long>();
        while (ids.Count < greedy.Ids.Length)
        {
            if (ids.Count > 0) logits = model.Step(tensor(new[] { ids[^1] }), state);
            ids.Add(logits.argmax(-1).item<long>());
        }
        bool same = ids.SequenceEqual(greedy.Ids);
        return new(@case.Name, $"{greedy.Ids.Length} greedy tokens", ids.Zip(greedy.Ids).Count(pair => pair.First != pair.Second), 0,
            same ? null : $"ours are {string.Join(' ', ids)}; the fixture has {string.Join(' ', greedy.Ids)}.");
    }

    private Comparison Compare(string @case, string what, Tensor ours, Tensor theirs) => Comparison.Of(@case, what, ours, theirs, tolerance);

    private Tensor? Expected(params string[] names) => names.Select(name => expected.GetValueOrDefault(name)).FirstOrDefault(tensor => tensor is not null);

    private static Tensor Ids(long[][] rows) => stack([.. rows.Select(row => tensor(row))]);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var tensor in expected.Values) tensor.Dispose();
        files.Dispose();
        checkpoint.Dispose();
    }

    [GeneratedRegex(@"^(.+)\.state\.(?:layer)?(\d+)\.(.+)$")]
    private static partial Regex LayerState();

    [GeneratedRegex(@"\.state\.[a-z_]+$")]
    private static partial Regex WholeState();

    private sealed record Inputs(Case[] Cases, Greedy? Greedy)
    {
        private static readonly JsonSerializerOptions options = new()
        {
            PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
            RespectNullableAnnotations = true,
            RespectRequiredConstructorParameters = true,
        };

        public static Inputs Load(string path)
        {
            try
            {
                using var stream = File.OpenRead(path);
                var inputs = JsonSerializer.Deserialize<Inputs>(stream, options) ?? throw new JsonException("null");
                if (inputs.Cases.Any(@case => @case.InputIds.Any(row => row.Length != @case.InputIds[0].Length)))
                    throw new JsonException("the rows of a case are of different lengths");
                return inputs;
            }
            catch (JsonException e)
            {
                throw new InvalidDataException($"{path} is not a fixture's list of inputs: {e.Message}", e);
            }
        }
    }

    private sealed record Case(string Name, long[][] InputIds, long[][] DecodeIds, long[][]? AttentionMask = null)
    {
        public LeftPadding? Padding() => AttentionMask is null ? null
            : new([.. AttentionMask.Select(row => (long)row.TakeWhile(real => real == 0).Count())], PaddingRule.AsPublished);
    }

    private sealed record Greedy(string PromptCase, int Row, long[] Ids);
}
