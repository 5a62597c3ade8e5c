using System.Text;

namespace ReadTwice.Tokenizers;

/// <summary>Takes added tokens out of a text, normalizes what is between, cuts it into pieces and these into tokens.</summary>
internal sealed class PipelineTokenizer(
    Vocabulary vocabulary, PieceModel model, PreTokenizer preTokenizer, string hash, int? endOfText) : Tokenizer
{
    private static readonly AddedTokens none = new([]);

    /// <summary>What is done to a text before it is cut.</summary>
    public Func<string, string> Normalize { get; init; } = text => text;

    /// <summary>Tokens found in the text as it was given.</summary>
    public AddedTokens AddedToRaw { get; init; } = none;

    /// <summary>Tokens found in the text after it was normalized.</summary>
    public AddedTokens AddedToNormalized { get; init; } = none;

    /// <summary>Whether encoding puts a space before a text, which decoding takes away.</summary>
    public bool DropsLeadingSpace { get; init; }

    public override string Hash { get; } = hash;

    public override int VocabularySize => vocabulary.Size;

    public override int? EndOfText { get; } = endOfText;

    public override IReadOnlyList<int> Encode(string text)
    {
        var ids = new List<int>(text.Length / 3);
        foreach (var (part, start, id) in AddedToRaw.Split(WellFormed(text)))
        {
            if (id is { } added) ids.Add(added);
            else EncodePart(part, start == 0, ids);
        }
        return ids;
    }

    public override ReadOnlySpan<byte> Bytes(int id) => vocabulary.Bytes(id);

    public override StreamingDecoder NewStreamingDecoder() => new Utf8StreamingDecoder(this, DropsLeadingSpace);

    private void EncodePart(string text, bool first, List<int> ids)
    {
        foreach (var (part, start, id) in AddedToNormalized.Split(Normalize(text)))
        {
            if (id is { } added)
            {
                ids.Add(added);
                continue;
            }
            foreach (string piece in preTokenizer(part, first && start == 0)) model.Encode(piece, ids);
        }
    }

    private static string WellFormed(string text) => text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF')
        ? Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text))
        : text;
}
