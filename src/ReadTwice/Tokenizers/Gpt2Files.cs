using System.Text;
using System.Text.Json;

namespace ReadTwice.Tokenizers;

/// <summary>Reads GPT-2's pair of files: token ids as JSON, and merges a line each, the first to be joined first.</summary>
/// <remarks>Only added tokens are found in text: without a file of them "&lt;|endoftext|>" is read letter by letter.</remarks>
internal static class Gpt2Files
{
    /// <summary>The tokens of vocab.json.</summary>
    public static Vocabulary ReadVocabulary(byte[] content)
    {
        var vocabulary = new Vocabulary();
        using var document = JsonDocument.Parse(content);
        foreach (var token in Members(document))
            vocabulary.Add(token.Name, token.Value.Id(token.Name), ByteLevel.Bytes(token.Name));
        return vocabulary;
    }

    /// <summary>The merges of merges.txt.</summary>
    public static Bpe ReadMerges(byte[] content, Vocabulary vocabulary)
    {
        var merges = new List<(int, int, int, int)>();
        string[] lines = Encoding.UTF8.GetString(content).Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            string line = lines[i].TrimEnd('\r');
            if (line.Length == 0 || (i == 0 && line.StartsWith("#version", StringComparison.Ordinal))) continue;
            merges.Add(TokenizerJson.Merge(line.Split(' '), merges.Count, vocabulary));
        }
        return new(vocabulary, merges);
    }

    /// <summary>The tokens of added_tokens.json, which the vocabulary then has too.</summary>
    public static AddedTokens ReadAddedTokens(byte[] content, Vocabulary vocabulary)
    {
        var added = new List<AddedToken>();
        using var document = JsonDocument.Parse(content);
        foreach (var token in Members(document))
        {
            // A token that the vocabulary has already keeps its id there.
            if (!vocabulary.TryGetId(token.Name, out int id))
                vocabulary.Add(token.Name, id = token.Value.Id(token.Name), Encoding.UTF8.GetBytes(token.Name), hidden: true);
            added.Add(new(token.Name, id));
        }
        return new(added);
    }

    private static JsonElement.ObjectEnumerator Members(JsonDocument document) =>
        document.RootElement.ValueKind == JsonValueKind.Object ? document.RootElement.EnumerateObject() :
        throw new InvalidDataException($"an object of tokens and ids is needed, not {document.RootElement.ValueKind}.");
}
