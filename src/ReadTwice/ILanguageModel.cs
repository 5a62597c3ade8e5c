using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice;

/// <summary>Reads tokens into a state and says what may come next. Keeps nothing itself between calls.</summary>
/// <remarks>Tokens are int64. Calls for different states may not run at the same time on one model.</remarks>
public interface ILanguageModel : IDisposable
{
    /// <summary>The architecture's name, as in <see cref="Models.Architectures"/>.</summary>
    string Architecture { get; }

    /// <summary>A hash of the config and the weights, in hexadecimal: two models of one hash give the same logits.</summary>
    string Hash { get; }

    /// <summary>How many scores each position gets: the rows of the output matrix.</summary>
    long VocabularyRows { get; }

    /// <summary>How many of a text's first tokens are read in both directions; 0 for a model that reads left to right.</summary>
    long EncoderLength { get; }

    /// <summary>By how many bytes the state of a text grows with each token: 0, but for softmax attention.</summary>
    long StateBytesPerToken { get; }

    /// <summary>A state that has read nothing.</summary>
    /// <param name="B">How many texts are read side by side.</param>
    /// <param name="padding">Where each row's text begins; null where all begin at once.</param>
    RecurrentState NewState(long B = 1, LeftPadding? padding = null);

    /// <summary>Reads tokens [B, T] into the state and scores what may come next, [B, vocabulary].</summary>
    /// <param name="tokens">Token ids, [B, T], T at least 1.</param>
    /// <param name="state">What was read so far; advanced by the call.</param>
    /// <param name="prefixLength">How many of these tokens are read in both directions; only at the start of a text.</param>
    Tensor Prefill(Tensor tokens, RecurrentState state, long prefixLength = 0);

    /// <summary>Reads one token a row, [B], and scores what may come next, [B, vocabulary].</summary>
    Tensor Step(Tensor token, RecurrentState state);

    /// <summary>Reads tokens [B, T] into the state and scores what may follow each of them, [B, T, vocabulary].</summary>
    Tensor Logits(Tensor tokens, RecurrentState state, long prefixLength = 0);
}
