using System.Security.Cryptography;
using System.Text;

namespace ReadTwice;

/// <summary>Reads documents into states and questions after them: what the command line and a server do with a passage.</summary>
/// <remarks>Owns neither the model nor the tokenizer.</remarks>
public sealed class Reader(ILanguageModel model, Tokenizer tokenizer, PaddingRule padding = PaddingRule.Exact)
{
    /// <summary>Writes on from the states that this reader gives.</summary>
    public Generator Generator { get; } = new(model, tokenizer);

    /// <summary>Reads a document, so that any number of questions can be asked of copies of its state.</summary>
    /// <param name="document">The text.</param>
    /// <param name="reading">How it is laid; not with the question first.</param>
    /// <param name="progress">Told the part that was read, from 0 to 1.</param>
    /// <param name="cancel">Asked between pieces.</param>
    /// <returns>The state, to be disposed by the caller.</returns>
    public RecurrentState Read(string document, Reading reading, IProgress<double>? progress = null, CancellationToken cancel = default)
    {
        var state = Read(tokenizer.Encode(Passage.LayDocument(document, reading)), progress, cancel);
        state.Source = new(tokenizer.Hash, reading.ToString(), HashOf(document));
        return state;
    }

    /// <summary>Reads a question after a document. The document's state is left as it was.</summary>
    /// <returns>A new state, to be disposed by the caller, and the question's tokens.</returns>
    public (RecurrentState State, IReadOnlyList<int> Tokens) Ask(RecurrentState document, string question, CancellationToken cancel = default)
    {
        var tokens = tokenizer.Encode(Passage.LayQuestion(question));
        var state = document.Clone();
        try
        {
            Generator.Read(state, tokens, cancel: cancel);
            return (state, tokens);
        }
        catch
        {
            state.Dispose();
            throw;
        }
    }

    /// <summary>Reads document and question as one text, for readings in which they cannot be parted.</summary>
    /// <returns>A new state, to be disposed by the caller, and all tokens.</returns>
    public (RecurrentState State, IReadOnlyList<int> Tokens) ReadWithQuestion(
        string document, string question, Reading reading, CancellationToken cancel = default)
    {
        var tokens = tokenizer.Encode(new Passage(document, question).Lay(reading));
        return (Read(tokens, null, cancel), tokens);
    }

    /// <summary>Takes up a state that was saved by the same model and tokenizer.</summary>
    /// <exception cref="InvalidDataException">It was made by others, or is damaged; the message says which.</exception>
    public RecurrentState Load(string path)
    {
        var state = RecurrentState.Load(path, model);
        if (state.Source is not { } source || source.Tokenizer == tokenizer.Hash) return state;
        state.Dispose();
        throw new InvalidDataException($"{path} was read with another tokenizer ({source.Tokenizer[..12]}; this is {tokenizer.Hash[..12]}). Read the document again.");
    }

    /// <summary>The hash by which a document's state is known, in hexadecimal.</summary>
    public static string HashOf(string document) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(document)));

    private RecurrentState Read(IReadOnlyList<int> text, IProgress<double>? progress, CancellationToken cancel)
    {
        var (state, tokens) = Generator.Begin(text, padding);
        try
        {
            Generator.Read(state, tokens, progress is null ? null : new Part(progress, tokens.Count), cancel);
            return state;
        }
        catch
        {
            state.Dispose();
            throw;
        }
    }

    private sealed class Part(IProgress<double> progress, int all) : IProgress<int>
    {
        public void Report(int value) => progress.Report((double)value / all);
    }
}
