using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>What surrounds the blocks of a language model.</summary>
/// <param name="D">Model width.</param>
/// <param name="VocabularyRows">Rows of the embedding and of the output matrix.</param>
public sealed record LanguageModelConfig(long D, long VocabularyRows)
{
    /// <summary>The architecture's name.</summary>
    public required string Architecture { get; init; }

    /// <summary>Whether the output matrix is the embedding.</summary>
    public bool Tied { get; init; }

    /// <summary>Whether the output has a bias.</summary>
    public bool HeadBias { get; init; }

    /// <summary>The embedding is multiplied by it.</summary>
    public double EmbeddingScale { get; init; } = 1;

    /// <summary>The logits are multiplied by it.</summary>
    public double LogitScale { get; init; } = 1;

    /// <summary>Logits l become cap · tanh(l / cap); 0 leaves them.</summary>
    public double LogitCap { get; init; }

    /// <summary>Rows of a learned table of absolute positions; 0 for none.</summary>
    public long Positions { get; init; }

    /// <summary>How many of a text's first tokens the model was trained to read in both directions.</summary>
    public long EncoderLength { get; init; }
}

/// <summary>Embedding, blocks, norm, head: the frame that all architectures share.</summary>
/// <remarks>The residual stream, [B, T, D], is float32 whatever the weights are kept in.</remarks>
public sealed class LanguageModel : nn.Module<Tensor, Tensor>, ILanguageModel
{
    private readonly LanguageModelConfig config;
    private readonly Embedding embedding;
    private readonly Embedding? positions;
    private readonly ModuleList<SequenceModule> blocks;
    private readonly nn.Module<Tensor, Tensor> norm;
    private readonly Linear head;
    private readonly WeightSource source;

    /// <summary>Builds a model around its blocks, taking the frame's weights from the same source.</summary>
    /// <param name="config">The frame's sizes.</param>
    /// <param name="weights">Where parameters come from; it is owned by the model from here on.</param>
    /// <param name="blocks">The blocks, first to last.</param>
    /// <param name="norm">The norm before the output matrix.</param>
    public LanguageModel(
        LanguageModelConfig config, WeightSource weights, IEnumerable<SequenceModule> blocks, nn.Module<Tensor, Tensor> norm)
        : base(nameof(LanguageModel))
    {
        this.config = config;
        source = weights;
        embedding = weights.Embedding("embedding", config.VocabularyRows, config.D);
        if (config.Positions > 0) positions = weights.Embedding("positions", config.Positions, config.D);
        this.blocks = nn.ModuleList([.. blocks]);
        this.norm = norm;
        if (config.Tied) weights.Skip("head.weight");
        head = weights.Linear(
            config.Tied ? embedding.Weight : weights.Matrix("head.weight", config.VocabularyRows, config.D),
            config.HeadBias ? weights.Vector("head.bias", config.VocabularyRows) : null);
        RegisterComponents();
    }

    /// <inheritdoc/>
    public string Architecture => config.Architecture;

    /// <inheritdoc/>
    public string Hash => source.Hash;

    /// <inheritdoc/>
    public long VocabularyRows => config.VocabularyRows;

    /// <inheritdoc/>
    public long EncoderLength => config.EncoderLength;

    /// <inheritdoc/>
    public long StateBytesPerToken => blocks.Sum(block => block.StateBytesPerToken);

    /// <summary>Where the model's weights and states lie, and where it computes; tokens may come from anywhere.</summary>
    public Device Device => embedding.Weight.device;

    /// <summary>How many numbers the model has learned; a matrix that serves as embedding and output is counted once.</summary>
    public long ParameterCount => parameters().Sum(parameter => parameter.numel());

    /// <summary>The size of the parameters in the types they are kept in, in bytes.</summary>
    public long WeightBytes => parameters().Sum(parameter => parameter.numel() * parameter.element_size());

    /// <summary>The size of the packed copies of weights that products without a gradient are made with, as far as they were made, in bytes.</summary>
    public long PackedBytes => modules().OfType<Linear>().Sum(layer => layer.PackedBytes);

    /// <summary>The parameters under our names, by which a <see cref="CheckpointFamily"/> finds theirs; a tied matrix once.</summary>
    public IReadOnlyList<(string Name, Parameter Parameter)> NamedParameters => source.Made;

    /// <summary>The blocks, first to last.</summary>
    public IReadOnlyList<SequenceModule> Blocks => [.. blocks];

    /// <inheritdoc/>
    public RecurrentState NewState(long B = 1, LeftPadding? padding = null)
    {
        if (B < 1) throw new ArgumentException($"A batch holds at least one text; {B} were asked for.");
        if (padding is not null && padding.Tokens.Count != B)
            throw new ArgumentException($"padding has {padding.Tokens.Count} rows; the batch has {B}.");
        if (padding is not null && padding.Tokens.All(tokens => tokens == 0)) padding = null;
        return new(Hash, Architecture, B, blocks.Select(block => block.NewState(B).MoveTo(Device)), padding);
    }

    /// <summary>Scores what may follow each token of texts read from the start, [B, T] -> [B, T, vocabulary].</summary>
    public override Tensor forward(Tensor tokens)
    {
        using var state = NewState(tokens.size(0));
        return Logits(tokens, state, Math.Min(EncoderLength, tokens.size(1)));
    }

    /// <inheritdoc/>
    public Tensor Logits(Tensor tokens, RecurrentState state, long prefixLength = 0)
    {
        using var scope = NewDisposeScope();
        var logits = Head(Stream(tokens, state, prefixLength));
        state.Advance(tokens, logits.select(1, -1));
        return logits.MoveToOuterDisposeScope();
    }

    /// <summary>Scores what may stand at chosen positions of texts read from the start: training scores only what has a label.</summary>
    /// <param name="tokens">Token ids, [B, T].</param>
    /// <param name="prefixLength">How many of them are read in both directions.</param>
    /// <param name="positions">Indices into B·T, [n], int64.</param>
    /// <returns>[n, vocabulary].</returns>
    public Tensor LogitsAt(Tensor tokens, long prefixLength, Tensor positions)
    {
        using var scope = NewDisposeScope();
        using var state = NewState(tokens.size(0));
        return Head(Stream(tokens, state, prefixLength, isWhole: true).flatten(0, 1).index_select(0, positions.to(Device))).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public Tensor Prefill(Tensor tokens, RecurrentState state, long prefixLength = 0)
    {
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        var x = Stream(tokens, state, prefixLength);
        var logits = Head(x.narrow(1, x.size(1) - 1, 1)).squeeze(1);
        state.Advance(tokens, logits);
        return logits.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public Tensor Step(Tensor token, RecurrentState state)
    {
        using var tokens = token.unsqueeze(1);
        return Prefill(tokens, state);
    }

    // [B, T] -> [B, T, D]: the residual stream after the last block.
    private Tensor Stream(Tensor tokens, RecurrentState state, long prefixLength, bool isWhole = false)
    {
        Check(tokens, state, prefixLength);
        tokens = tokens.to(Device);
        var x = embedding.call(tokens);
        var padding = PaddingOf(tokens, state);
        if (positions is not null) x = x.Plus(positions.call(At(tokens, state, padding)));
        if (config.EmbeddingScale != 1) x = x * Number(config.EmbeddingScale);
        using var shared = new LayerState();
        for (int i = 0; i < blocks.Count; i++)
        {
            using var layer = NewDisposeScope();
            var next = blocks[i].call(x, new Pass(state[i], state.Position, prefixLength, padding, shared, isWhole)).MoveToOuterDisposeScope();
            if (!is_grad_enabled()) x.Dispose();
            x = next;
        }
        return x;
    }

    // Absolute positions, [T] or [B, T]: a row counts from where its text begins, as published from where the batch does.
    private static Tensor At(Tensor tokens, RecurrentState state, PiecePadding? padding)
    {
        var at = Integers(state.Position, state.Position + tokens.size(1), tokens.device);
        return padding is { Rule: PaddingRule.Exact } ? (at.unsqueeze(0) - padding.Starts.unsqueeze(1)).clamp_min(Number(0)) : at;
    }

    private Tensor Head(Tensor x)
    {
        x = norm.call(x);
        var logits = head.call(x);
        if (config.LogitScale != 1) logits = logits * Number(config.LogitScale);
        return config.LogitCap == 0 ? logits : (logits / Number(config.LogitCap)).tanh() * Number(config.LogitCap);
    }

    private static PiecePadding? PaddingOf(Tensor tokens, RecurrentState state)
    {
        if (state.Padding is not { } padding) return null;
        var starts = tensor(padding.Tokens.ToArray(), device: tokens.device);
        if (padding.Tokens.Max() <= state.Position) return new(padding.Rule, starts, null);
        var at = Integers(state.Position, state.Position + tokens.size(1), tokens.device);
        return new(padding.Rule, starts, at.unsqueeze(0).ge(starts.unsqueeze(1)).to(ScalarType.Float32));
    }

    private void Check(Tensor tokens, RecurrentState state, long prefixLength)
    {
        if (state.Model != Hash)
            throw new ArgumentException($"The state was made by another model ({state.Model[..12]}); this is {Architecture} ({Hash[..12]}). Read the document again with this model.");
        if (tokens.dim() != 2 || tokens.size(0) != state.BatchSize || tokens.size(1) < 1 || tokens.dtype != ScalarType.Int64)
            throw new ArgumentException($"tokens are {tokens.dtype} [{string.Join(", ", tokens.shape)}]; Int64 [{state.BatchSize}, T] with T at least 1 is needed.");
        if (positions is not null && state.Position + tokens.size(1) > config.Positions)
            throw new ArgumentException($"{state.Position + tokens.size(1)} tokens are too many: the model's table of positions ends at {config.Positions}. Read a shorter text.");
        if (tokens.min().item<long>() < 0 || tokens.max().item<long>() >= VocabularyRows)
            throw new ArgumentException($"Token ids run from {tokens.min().item<long>()} to {tokens.max().item<long>()}; this model knows 0 to {VocabularyRows - 1}. Use the model's own tokenizer.");
        if (prefixLength == 0) return;
        if (EncoderLength == 0)
            throw new ArgumentException($"{Architecture} reads left to right: prefixLength must be 0, not {prefixLength}.");
        if (prefixLength < 0 || prefixLength > tokens.size(1))
            throw new ArgumentException($"prefixLength is {prefixLength}; it must lie within the {tokens.size(1)} tokens of this piece.");
        if (state.Position > 0)
            throw new ArgumentException($"The prefix stands at the start of a text; {state.Position} tokens were read already.");
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (disposing) source.Dispose();
    }
}
