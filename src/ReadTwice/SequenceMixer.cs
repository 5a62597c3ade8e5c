using System.Reflection;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>What a layer needs to know of the piece it is given: its state so far, and where the piece lies in the text.</summary>
/// <param name="State">What the layer remembers; it is advanced by the call.</param>
/// <param name="Position">How many positions were read before this piece.</param>
/// <param name="PrefixLength">How many of this piece's first tokens are read in both directions (JRT-RNN).</param>
/// <param name="Padding">Where the rows' texts begin; null where nothing is padded.</param>
/// <param name="Shared">What a layer leaves for later layers of the same call, and no longer (RWKV-7's first values).</param>
/// <param name="IsWhole">Whether the piece is a whole text, after which nobody asks for the state: a layer may leave it as it was.</param>
public readonly record struct Pass(
    LayerState State, long Position = 0, long PrefixLength = 0, PiecePadding? Padding = null, LayerState? Shared = null, bool IsWhole = false)
{
    /// <summary>1 where a token is real and 0 where it is padding, [B, T]; null where the piece has none.</summary>
    public Tensor? Mask => Padding?.Mask;

    /// <summary>The same for a layer whose authors leave padding visible: null where their treatment was asked for.</summary>
    public Tensor? MaskUnlessPublished => Padding is { Rule: PaddingRule.Exact } padding ? padding.Mask : null;
}

/// <summary>The padding as one piece of the text sees it.</summary>
/// <param name="Rule">What is done with padded positions.</param>
/// <param name="Starts">Where each row's text begins, [B], int64.</param>
/// <param name="Mask">1 where a token is real, else 0, [B, T], float32; null where the whole piece is real.</param>
public sealed record PiecePadding(PaddingRule Rule, Tensor Starts, Tensor? Mask);

/// <summary>A part of a model that turns a sequence into a sequence and remembers what it read.</summary>
/// <remarks>[B, T, D] -> [B, T, D], float32. Nothing is kept in the module between calls: all of it is in the state.</remarks>
public abstract class SequenceModule : nn.Module<Tensor, Pass, Tensor>
{
    /// <summary>Registers the fields: initialisers of a derived class have run by now. A constructor that sets more calls it again.</summary>
    protected SequenceModule() : base(nameof(SequenceModule)) => RegisterComponents();

    /// <summary>Whether the first tokens of a text can be read in both directions.</summary>
    public virtual bool ReadsPrefix => false;

    /// <summary>By how many bytes a row's state grows with each token, as softmax attention's does; 0 where its size is constant.</summary>
    public virtual long StateBytesPerToken => 0;

    /// <summary>What mixes along time here, for people who ask what a model is made of.</summary>
    public virtual string Kind => GetType().Name;

    /// <summary>A state that has read nothing, for a batch of B rows.</summary>
    public abstract LayerState NewState(long B);

    /// <summary>Registers what the fields hold by now.</summary>
    protected override void RegisterComponents()
    {
        base.RegisterComponents();   // which does nothing when it is called again
        var known = named_children().Select(child => child.name).Concat(named_parameters(recurse: false).Select(parameter => parameter.name)).ToHashSet();
        foreach (var field in GetType().GetFields(BindingFlags.Instance | BindingFlags.NonPublic).Where(field => !known.Contains(field.Name)))
            if (field.GetValue(this) is nn.Module part) register_module(field.Name, part);
            else if (field.GetValue(this) is Parameter parameter) register_parameter(field.Name, parameter);
    }

    /// <summary>The state's tensors under the names and in the layout of the authors' code.</summary>
    public virtual IReadOnlyDictionary<string, Tensor> AsPublished(LayerState state, long position) =>
        state.Names.ToDictionary(name => name, name => state[name].alias());
}

/// <summary>A layer that mixes along time.</summary>
public abstract class SequenceMixer : SequenceModule;
