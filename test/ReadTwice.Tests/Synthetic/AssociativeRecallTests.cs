using ReadTwice.Synthetic;

namespace ReadTwice.Tests.Synthetic;

public sealed class AssociativeRecallTests
{
    [Fact]
    public void Every_key_is_asked_for_once_after_the_pairs_and_its_value_is_the_label()
    {
        var random = new Random(1);
        for (int i = 0; i < 50; i++)
        {
            var (tokens, labels) = new AssociativeRecall(128).Draw(8, 64, random);
            var pairs = Enumerable.Range(0, 8).ToDictionary(p => tokens[2 * p], p => tokens[2 * p + 1]);
            Assert.Equal(8, pairs.Values.Distinct().Count());
            Assert.All(pairs, pair => Assert.True(pair.Key is >= 1 and < 64 && pair.Value is >= 64 and < 128));
            int[] asked = [.. Enumerable.Range(0, 64).Where(t => labels[t] != SyntheticExample.NoLabel)];
            Assert.All(asked, t => Assert.Equal((pairs[tokens[t]], true), (labels[t], t >= 16)));
            Assert.Equal(pairs.Keys.Order(), asked.Select(t => tokens[t]).Order());
        }
    }

    [Fact]
    public void Queries_are_denser_soon_after_the_pairs()
    {
        var random = new Random(2);
        int[] counts = new int[4];
        for (int i = 0; i < 500; i++)
        {
            var labels = new AssociativeRecall(128).Draw(4, 136, random).Labels;
            for (int t = 8; t < 136; t++)
                if (labels[t] != SyntheticExample.NoLabel) counts[(t - 8) / 32]++;
        }
        Assert.True(counts[0] > 2 * counts[1] && counts[1] > counts[3], string.Join(' ', counts));
    }

    [Fact]
    public void What_does_not_fit_is_refused()
    {
        Assert.Contains("32", Assert.Throws<ArgumentException>(() => new AssociativeRecall(128).Draw(8, 31, new Random(1))).Message, StringComparison.Ordinal);
        Assert.Contains("63 keys", Assert.Throws<ArgumentException>(() => new AssociativeRecall(128).Draw(64, 1000, new Random(1))).Message, StringComparison.Ordinal);
    }
}
