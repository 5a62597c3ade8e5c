using System.Text;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Generation;

/// <summary>Says a fixed text, byte by byte, after a prompt of a known length; notes what it was asked to read.</summary>
internal sealed class ScriptedModel(int promptTokens, string script) : ILanguageModel
{
    private readonly byte[] script = Encoding.UTF8.GetBytes(script);

    /// <summary>The number of tokens and the prefix of each call.</summary>
    public List<(long Tokens, long Prefix)> Calls { get; } = [];

    public string Architecture => "script";

    public string Hash => new('5', 64);

    public long VocabularyRows => 264;

    public long EncoderLength { get; init; }

    public long StateBytesPerToken => 0;

    public RecurrentState NewState(long B = 1, LeftPadding? padding = null) => new(Hash, Architecture, B, [], padding);

    public Tensor Prefill(Tensor tokens, RecurrentState state, long prefixLength = 0)
    {
        Calls.Add((tokens.size(1), prefixLength));
        long said = state.Position + tokens.size(1) - promptTokens;
        var logits = zeros(1, VocabularyRows);
        logits[0, 260] = 9;   // a row of no token must never be chosen
        if (said >= 0) logits[0, said < script.Length ? script[said] : (byte)'.'] = 5;
        state.Advance(tokens, logits);
        return logits;
    }

    public Tensor Step(Tensor token, RecurrentState state)
    {
        using var tokens = token.unsqueeze(1);
        return Prefill(tokens, state);
    }

    public Tensor Logits(Tensor tokens, RecurrentState state, long prefixLength = 0) => throw new NotSupportedException();

    public void Dispose()
    {
    }
}
