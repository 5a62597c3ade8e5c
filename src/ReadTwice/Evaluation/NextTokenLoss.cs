using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Evaluation;

/// <summary>How well a model foretells a text, read from left to right.</summary>
public static class NextTokenLoss
{
    private const int Piece = 512;   // tokens whose scores are held at once

    /// <summary>The mean of -ln p over every token but the first, in nats.</summary>
    /// <exception cref="ArgumentException">There are fewer than two tokens.</exception>
    public static double Of(ILanguageModel model, IReadOnlyList<int> tokens)
    {
        if (tokens.Count < 2) throw new ArgumentException($"The text has {tokens.Count} tokens; at least 2 are needed for one to be foretold.");
        using var inference = no_grad();
        using var state = model.NewState();
        double sum = 0;
        for (int at = 0; at < tokens.Count - 1; at += Piece)
        {
            using var scope = NewDisposeScope();
            int n = Math.Min(Piece, tokens.Count - 1 - at);
            var ids = tensor([.. Enumerable.Range(at, n + 1).Select(i => (long)tokens[i])], [1, n + 1]);
            var logits = model.Logits(ids.narrow(1, 0, n), state).squeeze(0);                             // [n, vocabulary]
            sum += nn.functional.cross_entropy(logits, ids.narrow(1, 1, n).squeeze(0), reduction: nn.Reduction.Sum).item<float>();
        }
        return sum / (tokens.Count - 1);
    }
}
