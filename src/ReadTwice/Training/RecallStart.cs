using ReadTwice.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice.Training;

/// <summary>
/// Starts a model of gated convolutions and linear attention so that it can recall from the first step: each token's key
/// is the token before it, and what is found is written where its own embedding stands.
/// </summary>
/// <remarks>
/// From a random start a small model needs tens of millions of tokens before it finds this circuit; so near to it, a few hundred
/// thousand. The idea of starting near what is to be learnt: arXiv 2305.09828 for attention, 2410.11135 for Mamba.
/// Nothing is held fixed: training goes on from there. Prefix keys and values start as the causal ones do.
/// </remarks>
public static class RecallStart
{
    // q·k of equal tokens then stands well above that of others, and the features are not yet extreme.
    private const double KeyGain = 2, ValueGain = 0.5;

    // All else is so much smaller at first than a random start has it, or its noise would drown what is found.
    private const double Quiet = 0.2;

    /// <summary>Rewrites each linear attention layer, and the convolution before it.</summary>
    /// <param name="model">Drawn by <see cref="TrainingSetup.Draw"/>.</param>
    /// <param name="deviation">Standard deviation of the embedding, in whose scale a convolution writes.</param>
    /// <param name="chance">Where random numbers come from.</param>
    /// <exception cref="InvalidDataException">The model has no such layers, or the convolution is not twice as wide as the model.</exception>
    public static void Apply(LanguageModel model, double deviation, torch.Generator chance)
    {
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        var parameters = model.NamedParameters.ToDictionary(named => named.Name, named => named.Parameter);
        foreach (var (name, parameter) in model.NamedParameters)
            if (TrainingSetup.IntoResidual(name)) parameter.mul_(Number(Quiet));
        bool any = false;
        Tensor? turn = null;
        for (int i = 0; i < model.Blocks.Count; i++)
        {
            string mixer = $"blocks.{i}.mixer.";
            if (parameters.ContainsKey(mixer + "conv.weight")) turn = WritePrevious(parameters, mixer, deviation, chance);
            if (turn is null || !parameters.ContainsKey(mixer + "key.weight")) continue;
            FindWhatFollowed(parameters, mixer, turn, chance);
            (turn, any) = (null, true);
        }
        if (!any) throw new InvalidDataException("\"start\" is \"recall\"; a model with a linear attention layer after a convolution is needed.");
    }

    // out(silu(conv(u)) ⊙ g) as a shift by one: g = 1, u = (x, -x), and silu(a) - silu(-a) = a. It is turned before it is added,
    // so that a token and the one before it can be told apart.
    private static Tensor WritePrevious(Dictionary<string, Parameter> parameters, string mixer, double deviation, torch.Generator chance)
    {
        var (input, output, conv) = (parameters[mixer + "input.weight"], parameters[mixer + "output.weight"], parameters[mixer + "conv.weight"]);
        long D = output.size(0), I = output.size(1), taps = conv.size(2);
        if (I != 2 * D || taps < 2 || !parameters.TryGetValue(mixer + "input.bias", out var bias))
            throw new InvalidDataException($"\"start\" is \"recall\"; {mixer}conv has {I} channels of {taps} taps; {2 * D} of at least 2, and a bias before them, are needed.");
        var turn = Orthogonal(D, chance);
        input.narrow(0, 0, I).copy_(cat([eye(D), -eye(D)]));
        bias.narrow(0, I, I).fill_(Number(1));
        input.narrow(0, I, I).mul_(Number(Quiet));
        conv.zero_();
        conv.narrow(2, taps - 2, 1).fill_(Number(1));
        output.copy_(cat([turn, -turn], 1) * Number(deviation));
        return turn;
    }

    // A query asks for its own token among the keys, which are the tokens before; the value of what is found goes out as it came in.
    private static void FindWhatFollowed(Dictionary<string, Parameter> parameters, string mixer, Tensor turn, torch.Generator chance)
    {
        var (query, value) = (parameters[mixer + "query.weight"], parameters[mixer + "value.weight"]);
        long D = turn.size(0);
        var ask = Orthogonal(Math.Max(D, query.size(0)), chance).narrow(0, 0, query.size(0)).narrow(1, 0, D) * Number(KeyGain);
        var carry = Orthogonal(Math.Max(D, value.size(0)), chance).narrow(0, 0, value.size(0)).narrow(1, 0, D);
        query.copy_(ask);
        value.copy_(carry);
        parameters[mixer + "output.weight"].copy_(carry.t() * Number(ValueGain));
        foreach (string key in (string[])["key.weight", "prefixKey.weight"])
            if (parameters.TryGetValue(mixer + key, out var keys)) keys.copy_(Ops.Product(ask, turn.t()));
        if (parameters.TryGetValue(mixer + "prefixValue.weight", out var values)) values.copy_(carry);
    }

    private static Tensor Orthogonal(long n, torch.Generator chance) => linalg.qr(randn(n, n, generator: chance)).Q;
}
