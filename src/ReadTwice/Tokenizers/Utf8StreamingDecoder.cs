using System.Text;

namespace ReadTwice.Tokenizers;

/// <summary>Joins the bytes of tokens into characters, keeping back what may still become one.</summary>
internal sealed class Utf8StreamingDecoder(Tokenizer tokenizer, bool dropsLeadingSpace) : StreamingDecoder
{
    private readonly Decoder decoder = Encoding.UTF8.GetDecoder();
    private bool atStart = dropsLeadingSpace;

    public override string Add(int id)
    {
        var bytes = tokenizer.Bytes(id);
        if (atStart && !bytes.IsEmpty)
        {
            atStart = false;
            if (bytes[0] == (byte)' ') bytes = bytes[1..];
        }
        return Characters(bytes, flush: false);
    }

    public override string Finish() => Characters([], flush: true);

    private string Characters(ReadOnlySpan<byte> bytes, bool flush)
    {
        char[] characters = new char[Encoding.UTF8.GetMaxCharCount(bytes.Length)];
        return new string(characters, 0, decoder.GetChars(bytes, characters, flush));
    }
}
