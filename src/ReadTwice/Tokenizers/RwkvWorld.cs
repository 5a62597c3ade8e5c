using System.Text;

namespace ReadTwice.Tokenizers;

/// <summary>The tokenizer of RWKV "world" models: over UTF-8 bytes, always the longest token that fits.</summary>
/// <remarks>Its file has a token a line: id, Python literal, number of bytes. Id 0, which it leaves free, ends a text.</remarks>
internal sealed class RwkvWorld : Tokenizer
{
    private readonly Vocabulary vocabulary = new();
    private readonly Trie trie = new();

    public RwkvWorld(byte[] content, string hash)
    {
        Hash = hash;
        string[] lines = Encoding.UTF8.GetString(content).Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            string line = lines[i].TrimEnd('\r');
            if (line.Length > 0) Add(line, i + 1);
        }
        for (int value = 0; value < 256; value++)
            if (trie.Longest([(char)value]).Length == 0)
                throw new InvalidDataException($"no token is the byte 0x{value:X2} alone; all 256 are needed.");
    }

    public override int VocabularySize => vocabulary.Size;

    public override int? EndOfText => 0;

    public override string Hash { get; }

    public override IReadOnlyList<int> Encode(string text)
    {
        var ids = new List<int>(text.Length / 3);
        ReadOnlySpan<char> rest = Characters(Encoding.UTF8.GetBytes(text));
        while (!rest.IsEmpty)
        {
            var (length, id) = trie.Longest(rest);
            ids.Add(id);
            rest = rest[length..];
        }
        return ids;
    }

    public override ReadOnlySpan<byte> Bytes(int id) => vocabulary.Bytes(id);

    private void Add(string line, int number)
    {
        int first = line.IndexOf(' '), last = line.LastIndexOf(' ');
        if (last <= first ||
            !int.TryParse(line.AsSpan(0, first), out int id) || !int.TryParse(line.AsSpan(last + 1), out int length))
            throw new InvalidDataException(
                $"line {number} is {Vocabulary.Quote(line)}; an id, a Python literal and a length are needed.");
        byte[] bytes = PythonLiteral.Parse(line.AsSpan((first + 1)..last));
        if (bytes.Length != length || length == 0)
            throw new InvalidDataException(
                $"line {number} holds {bytes.Length} bytes and says {length}; it must say how many, one or more.");
        vocabulary.Add(Characters(bytes), id, bytes);
        trie.Add(Characters(bytes), id);
    }

    /// <summary>Bytes as the characters U+0000 to U+00FF, in which the trie looks for them.</summary>
    private static string Characters(byte[] bytes) => Encoding.Latin1.GetString(bytes);
}
