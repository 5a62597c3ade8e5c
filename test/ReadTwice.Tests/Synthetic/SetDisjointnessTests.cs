using ReadTwice.Synthetic;
using ReadTwice.Training;

namespace ReadTwice.Tests.Synthetic;

public sealed class SetDisjointnessTests
{
    [Fact]
    public void Two_sets_of_the_sizes_asked_for_have_exactly_the_labelled_token_in_common()
    {
        var task = new SetDisjointness();
        var random = new Random(1);
        foreach (var sizes in SetDisjointness.TrainingSizes.Concat(SetDisjointness.TestSizes))
        {
            var (tokens, labels) = task.Draw(sizes, Reading.Once, random);
            Assert.Equal(sizes.A + sizes.B + 3, tokens.Count);
            int[] a = [.. tokens.Skip(1).Take(sizes.A)], b = [.. tokens.Skip(2 + sizes.A).Take(sizes.B)];
            Assert.Equal((1, 2, 3), (tokens[0], tokens[1 + sizes.A], tokens[^1]));
            Assert.Equal((sizes.A, sizes.B), (a.Distinct().Count(), b.Distinct().Count()));
            Assert.Equal(labels[^1], Assert.Single(a.Intersect(b)));
            Assert.All(a.Concat(b), token => Assert.InRange(token, 4, 2047));
            Assert.All(labels.SkipLast(1), label => Assert.Equal(SyntheticExample.NoLabel, label));
        }
    }

    [Fact]
    public void No_token_tells_by_itself_which_set_it_is_of()
    {
        var task = new SetDisjointness(64);
        var random = new Random(2);
        var (first, second) = (new HashSet<int>(), new HashSet<int>());
        for (int i = 0; i < 200; i++)
        {
            var tokens = task.Draw(new(8, 8), Reading.Once, random).Tokens;
            first.UnionWith(tokens.Skip(1).Take(8));
            second.UnionWith(tokens.Skip(10).Take(8));
        }
        Assert.Equal((60, 60), (first.Count, second.Count));
    }

    [Fact]
    public void Common_tokens_stand_anywhere_in_both_sets()
    {
        var task = new SetDisjointness(64);
        var random = new Random(3);
        var (inA, inB) = (new HashSet<int>(), new HashSet<int>());
        for (int i = 0; i < 200; i++)
        {
            var (tokens, labels) = task.Draw(new(5, 7), Reading.Once, random);
            inA.Add(tokens.ToList().IndexOf(labels[^1]));
            inB.Add(tokens.ToList().LastIndexOf(labels[^1]));
        }
        Assert.Equal(Enumerable.Range(1, 5), inA.Order());
        Assert.Equal(Enumerable.Range(7, 7), inB.Order());
    }

    [Fact]
    public void Read_twice_the_sets_are_laid_twice_before_the_answer()
    {
        var once = new SetDisjointness().Draw(new(4, 16), Reading.Once, new Random(5));
        var twice = new SetDisjointness().Draw(new(4, 16), Reading.Twice, new Random(5));
        Assert.Equal([.. once.Tokens.SkipLast(1), .. once.Tokens], twice.Tokens);
        Assert.Equal(once.Labels[^1], twice.Labels[^1]);
    }

    [Fact]
    public void The_sizes_are_the_authors_in_both_orders()
    {
        Assert.Equal((12, 20), (SetDisjointness.TrainingSizes.Count, SetDisjointness.TestSizes.Count));
        Assert.Contains(new(256, 4), SetDisjointness.TrainingSizes);
        Assert.Contains(new(768, 8), SetDisjointness.TestSizes);
    }

    [Fact]
    public void Sets_larger_than_their_half_of_the_vocabulary_are_refused()
    {
        var task = new SetDisjointness(64);   // 32 for the first set, 28 for the second
        task.Draw(new(32, 28), Reading.Once, new Random(1));
        Assert.Contains("28", Assert.Throws<ArgumentException>(() => task.Draw(new(32, 29), Reading.Once, new Random(1))).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => task.Draw(new(33, 1), Reading.Once, new Random(1)));
        Assert.Throws<ArgumentException>(() => task.Draw(new(0, 1), Reading.Once, new Random(1)));
    }

    [Fact]
    public void For_training_all_that_is_read_is_the_prefix_and_the_label_alone_is_predicted()
    {
        var example = new SetDisjointness(64).Draw(new(3, 5), Reading.Once, new Random(1));
        var batch = TrainingBatch.Lay([example.AsSequence()], new(Objective.MaskedPrefix, 0), new Random(1));
        Assert.Equal(11, batch.PrefixLength);
        Assert.Equal([new(10, example.Labels[^1], 1, true)], batch.Next);
        Assert.Empty(batch.Masked);
    }
}
