using System.Text;
using System.Text.Json;
using ReadTwice.Tokenizers;

namespace ReadTwice.Training;

/// <summary>Learns a byte-level vocabulary: pairs of tokens that stand side by side most often become tokens, one after the other.</summary>
/// <remarks>Deterministic: of pairs that are equally frequent, the one of lower ids is joined first. Pairs never reach beyond a word.</remarks>
public sealed class BytePairTraining
{
    /// <summary>The token that ends a text; the last of the vocabulary, as GPT-2 has it.</summary>
    public const string EndOfText = "<|endoftext|>";

    private readonly Dictionary<string, long> words = new(StringComparer.Ordinal);

    /// <summary>Counts the words of a text.</summary>
    public void Add(string text)
    {
        foreach (var match in ByteLevel.Words().EnumerateMatches(text))
        {
            string word = ByteLevel.Spell(text.AsSpan(match.Index, match.Length));
            words[word] = words.GetValueOrDefault(word) + 1;
        }
    }

    /// <summary>Learns a vocabulary of at most this size, the end of text included, and gives it as a tokenizer.json.</summary>
    /// <remarks>It is smaller where no two neighbours stand together twice any more.</remarks>
    /// <exception cref="ArgumentException">The size is not above the 256 bytes and the end of text.</exception>
    public string Train(int vocabularySize)
    {
        const int Bytes = 256;
        if (vocabularySize <= Bytes) throw new ArgumentException($"A vocabulary of {vocabularySize} is too small: {Bytes} bytes and {EndOfText} need {Bytes + 1}.");
        var tokens = Enumerable.Range(0, Bytes).Select(value => ByteLevel.Character((byte)value)).Order().Select(character => $"{character}").ToList();
        var merges = new List<(string, string)>();
        var pairs = new PairCounts(words.OrderBy(word => word.Key, StringComparer.Ordinal), tokens);
        while (tokens.Count < vocabularySize - 1 && pairs.MostFrequent() is { } pair)
        {
            merges.Add((tokens[pair.Left], tokens[pair.Right]));
            tokens.Add(tokens[pair.Left] + tokens[pair.Right]);
            pairs.Join(pair, tokens.Count - 1);
        }
        return Write(tokens, merges);
    }

    private static string Write(List<string> tokens, List<(string Left, string Right)> merges)
    {
        using var memory = new MemoryStream();
        using (var json = new Utf8JsonWriter(memory, new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("version", "1.0");
            json.WriteStartArray("added_tokens");
            json.WriteRawValue($$"""{"id":{{tokens.Count}},"content":"{{EndOfText}}","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}""");
            json.WriteEndArray();
            json.WriteNull("normalizer");
            foreach (string part in (string[])["pre_tokenizer", "post_processor", "decoder"])
            {
                json.WritePropertyName(part);
                json.WriteRawValue($$"""{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}""");
            }
            json.WriteStartObject("model");
            json.WriteString("type", "BPE");
            json.WriteStartObject("vocab");
            for (int id = 0; id < tokens.Count; id++) json.WriteNumber(tokens[id], id);
            json.WriteNumber(EndOfText, tokens.Count);
            json.WriteEndObject();
            json.WriteStartArray("merges");
            foreach (var (left, right) in merges) json.WriteStringValue($"{left} {right}");
            json.WriteEndArray();
            json.WriteEndObject();
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(memory.ToArray()) + "\n";
    }
}

/// <summary>How often each pair of tokens stands together in the words, kept up to date while pairs are joined.</summary>
internal sealed class PairCounts
{
    private readonly List<(int[] Tokens, long Count)> words = [];
    private readonly Dictionary<(int Left, int Right), long> counts = [];
    private readonly Dictionary<(int Left, int Right), HashSet<int>> where = [];
    private readonly PriorityQueue<(int Left, int Right), (long, int, int)> queue = new();

    public PairCounts(IEnumerable<KeyValuePair<string, long>> words, IReadOnlyList<string> tokens)
    {
        var ids = tokens.Select((token, id) => (token[0], id)).ToDictionary();
        foreach (var (word, count) in words)
        {
            this.words.Add(([.. word.Select(character => ids[character])], count));
            Count(this.words.Count - 1, 1);
        }
        foreach (var pair in counts.Keys) Enqueue(pair);
    }

    /// <summary>The pair that stands together most often, and at least twice.</summary>
    public (int Left, int Right)? MostFrequent()
    {
        while (queue.TryDequeue(out var pair, out var priority))
        {
            // An entry is out of date where its count has changed since: the pair is in the queue again with the count it has.
            if (-priority.Item1 != counts.GetValueOrDefault(pair)) continue;
            return -priority.Item1 >= 2 ? pair : null;
        }
        return null;
    }

    /// <summary>Replaces the pair by one token in every word.</summary>
    public void Join((int Left, int Right) pair, int joined)
    {
        var changed = new HashSet<(int, int)>();
        foreach (int word in where[pair].Order().ToList())
        {
            changed.UnionWith(Count(word, -1));
            var (tokens, count) = words[word];
            words[word] = (Joined(tokens, pair, joined), count);
            changed.UnionWith(Count(word, 1));
        }
        foreach (var other in changed) Enqueue(other);
    }

    private static int[] Joined(int[] tokens, (int Left, int Right) pair, int joined)
    {
        var kept = new List<int>(tokens.Length);
        for (int i = 0; i < tokens.Length; i++)
        {
            bool joins = i + 1 < tokens.Length && (tokens[i], tokens[i + 1]) == pair;
            kept.Add(joins ? joined : tokens[i]);
            if (joins) i++;
        }
        return [.. kept];
    }

    private void Enqueue((int Left, int Right) pair)
    {
        if (counts.GetValueOrDefault(pair) is > 0 and var count) queue.Enqueue(pair, (-count, pair.Left, pair.Right));
    }

    private List<(int, int)> Count(int word, int sign)
    {
        var (tokens, count) = words[word];
        var pairs = new List<(int, int)>(tokens.Length);
        for (int i = 0; i + 1 < tokens.Length; i++)
        {
            var pair = (tokens[i], tokens[i + 1]);
            pairs.Add(pair);
            counts[pair] = counts.GetValueOrDefault(pair) + sign * count;
            if (!where.TryGetValue(pair, out var places)) where[pair] = places = [];
            if (sign > 0) places.Add(word);
            else places.Remove(word);
        }
        return pairs;
    }
}
