namespace ReadTwice.Synthetic;

/// <summary>Keys with their values, then some of the keys again, whose values are to follow: multi-query associative recall (arXiv 2312.04927).</summary>
/// <remarks>Keys are of the lower half of the vocabulary, values of the upper. A key is asked for sooner rather than later after the pairs.</remarks>
/// <param name="vocabularySize">Every token is below it.</param>
/// <param name="power">How fast the number of queries falls with their distance; the authors' 0.01.</param>
public sealed class AssociativeRecall(int vocabularySize = 8192, double power = 0.01)
{
    /// <summary>Draws an example: pairs, then each key once more among tokens drawn at random.</summary>
    /// <param name="pairs">How many pairs.</param>
    /// <param name="length">Tokens in all.</param>
    /// <param name="random">Draws keys, values, their places and the tokens between.</param>
    /// <exception cref="ArgumentException">The length has no room for the queries, or the vocabulary is too small.</exception>
    public SyntheticExample Draw(int pairs, int length, Random random)
    {
        int half = vocabularySize / 2, places = (length - 2 * pairs) / 2;
        if (pairs < 1 || places < pairs)
            throw new ArgumentException($"{pairs} pairs and as many queries do not fit {length} tokens; {4 * Math.Max(pairs, 1)} at least are needed.");
        if (pairs >= half) throw new ArgumentException($"A vocabulary of {vocabularySize} has {half - 1} keys; {pairs} pairs need as many.");
        int[] keys = Distinct(1, half, pairs, random), values = Distinct(half, vocabularySize, pairs, random);
        int[] tokens = [.. Enumerable.Range(0, length).Select(_ => random.Next(vocabularySize))];
        int[] labels = [.. Enumerable.Repeat(SyntheticExample.NoLabel, length)];
        int[] asked = Places(places, pairs, random);
        for (int i = 0; i < pairs; i++)
        {
            (tokens[2 * i], tokens[2 * i + 1]) = (keys[i], values[i]);
            int at = 2 * pairs + 2 * asked[i];
            (tokens[at], labels[at]) = (keys[i], values[i]);
        }
        return new(tokens, labels);
    }

    private static int[] Distinct(int from, int to, int count, Random random)
    {
        int[] all = [.. Enumerable.Range(from, to - from)];
        random.Shuffle(all);
        return all[..count];
    }

    // Without replacement, place n of weight n^(power - 1): the largest of log(weight) plus Gumbel noise are such a draw.
    private int[] Places(int places, int count, Random random) => [.. Enumerable.Range(0, places)
        .Select(place => (Place: place, Score: (power - 1) * Math.Log(place + 1) - Math.Log(-Math.Log(1 - random.NextDouble()))))
        .OrderByDescending(entry => entry.Score)
        .Take(count)
        .Select(entry => entry.Place)];
}
