using ReadTwice.Checkpoints;
using ReadTwice.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Models;

/// <summary>The time mix of RWKV-4 (arXiv 2305.13048): an average of all values so far, weighted by their keys and fading channel by channel.</summary>
/// <remarks>[B, T, D] -> [B, T, D]. The state is att_shift [B, D] and the sums num, den and max, [B, A].</remarks>
public sealed class Rwkv4TimeMix : SequenceMixer
{
    private readonly Parameter keyMix;
    private readonly Parameter valueMix;
    private readonly Parameter receptanceMix;
    private readonly Linear key;
    private readonly Linear value;
    private readonly Linear receptance;
    private readonly Linear output;
    private readonly Parameter decay;
    private readonly Parameter first;

    /// <summary>Takes keyMix, valueMix, receptanceMix, key, value, receptance, output, decay and first from the source.</summary>
    /// <param name="weights">Its part of the source.</param>
    /// <param name="D">Model width.</param>
    /// <param name="A">Channels of the sums.</param>
    /// <param name="layer">Which layer it is, from 0: deeper ones start with longer memories and with less of the token before.</param>
    /// <param name="layers">How many there are.</param>
    public Rwkv4TimeMix(WeightSource weights, long D, long A, long layer = 0, long layers = 1)
    {
        double depth = layers > 1 ? layer / (layers - 1.0) : 0, power = FirstPower(layer, layers);
        keyMix = weights.Tensor(nameof(keyMix), [1, 1, D], TokenShift.Shares(D, ofToken: true, power));
        valueMix = weights.Tensor(nameof(valueMix), [1, 1, D], TokenShift.Shares(D, ofToken: true, power, 0.3 * depth));
        receptanceMix = weights.Tensor(nameof(receptanceMix), [1, 1, D], TokenShift.Shares(D, ofToken: true, power / 2));
        key = weights.Linear(nameof(key), D, A);
        value = weights.Linear(nameof(value), D, A);
        receptance = weights.Linear(nameof(receptance), D, A);
        output = weights.Linear(nameof(output), A, D);
        decay = weights.Vector(nameof(decay), A, Init.Values(() => (linspace(0, 1, A).pow(Number(0.7 + 1.3 * depth)) * Number(8)).Plus(-5)));
        first = weights.Vector(nameof(first), A, Init.Values(() => (Integers(1, A + 1).remainder(Number(3)).to(ScalarType.Float32) * Number(0.5)).Plus(Math.Log(0.3) - 0.5)));
        RegisterComponents();
    }

    /// <summary>The power of the channel by which shares of the token start in a layer.</summary>
    internal static double FirstPower(long layer, long layers) => 1 - (double)layer / layers;

    /// <inheritdoc/>
    public override LayerState NewState(long B) => new()
    {
        ["att_shift"] = zeros(B, keyMix.size(2)),
        ["num"] = zeros(B, decay.size(0)),
        ["den"] = zeros(B, decay.size(0)),
        ["max"] = full(B, decay.size(0), Number(Nothing)),
    };

    // The logarithm of a sum over no token: so far below any key that nothing of it is left beside one.
    private const float Nothing = -1e38f;

    /// <inheritdoc/>
    public override Tensor forward(Tensor x, Pass pass)
    {
        using var scope = NewDisposeScope();
        var state = pass.State;
        var shift = TokenShift.Read(x, pass, "att_shift");
        var k = key.call(shift.Mix(keyMix.neg().Plus(1)));
        if (pass.Mask is { } mask) k = k.masked_fill(mask.unsqueeze(-1).eq(Number(0)), Number(Nothing));
        var v = value.call(shift.Mix(valueMix.neg().Plus(1)));
        var r = receptance.call(shift.Mix(receptanceMix.neg().Plus(1))).sigmoid();
        (var y, state["num"], state["den"], state["max"]) = Ops.Rwkv4(k, v, -decay.exp(), first, state["num"], state["den"], state["max"]);
        return output.call(r * y).MoveToOuterDisposeScope();
    }
}

/// <summary>The published form of RWKV-4.</summary>
public static class Rwkv4
{
    /// <summary>transformers RWKV.</summary>
    public static readonly CheckpointFamily Transformers = new(
        "transformers RWKV-4", (config, _) => config.String("model_type", "") == "rwkv", Build,
        [
            ("rwkv.embeddings.weight", "embedding.weight"),
            ("rwkv.blocks.{i}.pre_ln.", "blocks.{i}.preNorm."),
            ("rwkv.blocks.{i}.ln1.", "blocks.{i}.norm."),
            ("rwkv.blocks.{i}.ln2.", "blocks.{i}.norm2."),
            ("rwkv.blocks.{i}.attention.time_mix_key", "blocks.{i}.mixer.keyMix"),
            ("rwkv.blocks.{i}.attention.time_mix_value", "blocks.{i}.mixer.valueMix"),
            ("rwkv.blocks.{i}.attention.time_mix_receptance", "blocks.{i}.mixer.receptanceMix"),
            ("rwkv.blocks.{i}.attention.time_decay", "blocks.{i}.mixer.decay"),
            ("rwkv.blocks.{i}.attention.time_first", "blocks.{i}.mixer.first"),
            ("rwkv.blocks.{i}.attention.", "blocks.{i}.mixer."),
            ("rwkv.blocks.{i}.feed_forward.time_mix_key", "blocks.{i}.channelMix.keyMix"),
            ("rwkv.blocks.{i}.feed_forward.time_mix_receptance", "blocks.{i}.channelMix.receptanceMix"),
            ("rwkv.blocks.{i}.feed_forward.", "blocks.{i}.channelMix."),
            ("rwkv.ln_out.", "norm."),
            ("head.weight", "head.weight"),
        ])
    {
        Example = """{ "model_type": "rwkv", "hidden_size": 24, "attention_hidden_size": 32, "num_hidden_layers": 3, "rescale_every": 2, "vocab_size": 96 }""",
    };

    private static LanguageModel Build(ConfigJson config, WeightSource weights)
    {
        long D = config.Size("hidden_size", 4096), layers = config.Size("num_hidden_layers", 32), every = config.Long("rescale_every", 6);
        long A = config.Size("attention_hidden_size", D), width = config.Size("intermediate_size", 4 * D);
        double epsilon = config.Double("layer_norm_epsilon", 1e-5);
        var blocks = new List<SequenceModule>();
        for (long i = 0; i < layers; i++)
        {
            var w = weights.In($"blocks.{i}");
            // Halving the stream keeps half precision from overflowing; ε of the norms makes it part of the function.
            double branch = every > 0 ? Math.Pow(2, -(i / every)) : 1;
            blocks.Add(new RwkvBlock(
                i == 0 ? w.LayerNorm("preNorm", D, epsilon) : null,
                w.LayerNorm("norm", D, epsilon),
                new Rwkv4TimeMix(w.In("mixer"), D, A, i, layers),
                w.LayerNorm("norm2", D, epsilon),
                new RwkvChannelMix(w.In("channelMix"), D, width, "sqrelu", "ffn_shift", ofToken: true, power: Rwkv4TimeMix.FirstPower(i, layers)),
                branch,
                every > 0 && (i + 1) % every == 0 ? 0.5 : 1));
        }
        var frame = new LanguageModelConfig(D, config.Size("vocab_size", 50277))
        {
            Architecture = "rwkv4",
            Tied = config.Bool("tie_word_embeddings", false),
        };
        return new(frame, weights, blocks, weights.LayerNorm("norm", D, 1e-5));
    }
}
