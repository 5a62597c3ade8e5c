using System.Text;
using ReadTwice.Tokenizers;

namespace ReadTwice;

/// <summary>Turns text into token ids and back. Immutable, and safe to use from any thread.</summary>
/// <remarks>HfTokenizer opens one from its files.</remarks>
public abstract class Tokenizer
{
    /// <summary>How many ids there are, added tokens included: every id is below it.</summary>
    public abstract int VocabularySize { get; }

    /// <summary>The id that ends a text, where the vocabulary has one.</summary>
    public virtual int? EndOfText => null;

    /// <summary>SHA-256 of what decides the encoding, in hexadecimal: two tokenizers of one hash give the same ids.</summary>
    public abstract string Hash { get; }

    /// <summary>The token ids of a text; no begin-of-text or end-of-text token is added.</summary>
    /// <remarks>Half a surrogate pair is read as U+FFFD, as in UTF-8.</remarks>
    public abstract IReadOnlyList<int> Encode(string text);

    /// <summary>The bytes one token stands for; a character may be spread over several tokens.</summary>
    /// <remarks>Empty for an id below <see cref="VocabularySize"/> that no token has.</remarks>
    /// <exception cref="ArgumentOutOfRangeException">The id is not below <see cref="VocabularySize"/>.</exception>
    public abstract ReadOnlySpan<byte> Bytes(int id);

    /// <summary>The text of token ids; bytes that are no valid UTF-8 become U+FFFD.</summary>
    public virtual string Decode(IEnumerable<int> ids)
    {
        var decoder = NewStreamingDecoder();
        var text = new StringBuilder();
        foreach (int id in ids) text.Append(decoder.Add(id));
        return text.Append(decoder.Finish()).ToString();
    }

    /// <summary>A decoder that is fed one token at a time and gives text back as soon as whole characters are complete.</summary>
    public virtual StreamingDecoder NewStreamingDecoder() => new Utf8StreamingDecoder(this, dropsLeadingSpace: false);
}

/// <summary>Decodes tokens one by one and never gives out half a character.</summary>
public abstract class StreamingDecoder
{
    /// <summary>The characters that this token completes; often empty.</summary>
    public abstract string Add(int id);

    /// <summary>What is left at the end: U+FFFD for an unfinished character, else empty.</summary>
    public abstract string Finish();
}
