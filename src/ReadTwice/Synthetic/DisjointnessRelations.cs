using ReadTwice.Evaluation;

namespace ReadTwice.Synthetic;

/// <summary>What the figure is said to show, and whether these runs show it.</summary>
/// <param name="Claim">What is said.</param>
/// <param name="Holds">Whether the means say so too.</param>
/// <param name="Evidence">The numbers, in percent and percentage points, each with its standard error over the seeds.</param>
public sealed record Relation(string Claim, bool Holds, IReadOnlyList<Evidence> Evidence);

/// <summary>A number that speaks for a claim where it is above 0.</summary>
/// <param name="What">What was compared, and at which size of state.</param>
/// <param name="Value">Its mean over the seeds and its error.</param>
public sealed record Evidence(string What, Estimate Value);

/// <summary>The relations of set disjointness' figure (arXiv 2407.05483, figure 2), which a repetition can be held to; absolute accuracies it cannot.</summary>
/// <remarks>Models are compared at the same state and seed. A relation whose models are not among the runs is left out.</remarks>
public static class DisjointnessRelations
{
    // Softmax attention is to name nearly all of what it was trained on; a hundredth of misses is not a failure to learn.
    private const double NearlyAll = 95;

    /// <summary>The relations, each with its numbers, whichever way they came out.</summary>
    public static IReadOnlyList<Relation> Of(IReadOnlyList<DisjointnessRun> runs)
    {
        var by = runs.ToLookup(run => run.Point.Reader);
        long[] sizes = [.. by[SetReader.Causal].Select(run => run.StateBytes).Distinct().Order()];
        if (sizes.Length == 0) return [];
        var relations = new List<Relation>();

        var gaps = sizes.Select(size => new Evidence($"{size:N0} bytes", Mean(by[SetReader.Causal], size, Gap))).ToList();
        Add("1. Causal models do better with the smaller set first.", gaps);
        if (sizes.Length > 1 && Paired(At(by[SetReader.Causal], sizes[0]), At(by[SetReader.Causal], sizes[^1]), Gap) is { } narrowing)
            Add("2. That gap is wider at the smallest state than at the largest.", [new($"{sizes[0]:N0} less {sizes[^1]:N0} bytes", narrowing)]);
        Add("3. Non-causal models beat causal ones with the larger set first, at every state.", Compared(SetReader.NonCausal, run => run.LongFirst));
        Add("4. Non-causal models vary less with the order.", Compared(SetReader.NonCausal, run => -Math.Abs(Gap(run))), overall: true);
        Add("5. Sets laid twice, causal models vary less with the order.", Compared(SetReader.Repeated, run => -Math.Abs(Gap(run))), overall: true);
        Add("6. Sets laid twice, causal models do better with the larger set first.", Compared(SetReader.Repeated, run => run.LongFirst), overall: true);
        if (by[SetReader.Attention].Any())
            Add($"7. Softmax attention names more than {NearlyAll} % of the sizes it was trained on, in both orders.",
            [
                new($"smaller first, above {NearlyAll}", Anchor(size => size.A < size.B)), new($"larger first, above {NearlyAll}", Anchor(size => size.A > size.B)),
            ]);
        return relations;

        // A claim about every state needs each of them; one about models in general, their mean.
        void Add(string claim, List<Evidence> evidence, bool overall = false)
        {
            if (evidence.Count == 0) return;
            relations.Add(new(claim, overall ? evidence.Average(each => each.Value.Mean) > 0 : evidence.All(each => each.Value.Mean > 0), evidence));
        }

        List<Evidence> Compared(SetReader reader, Func<DisjointnessRun, double> value) =>
            [.. sizes.Select(size => (Size: size, Difference: Paired(At(by[reader], size), At(by[SetReader.Causal], size), value)))
                .Where(each => each.Difference is not null).Select(each => new Evidence($"{each.Size:N0} bytes", each.Difference!))];

        Estimate Anchor(Func<SizeAccuracy, bool> of) => Estimate.Of([.. by[SetReader.Attention].Select(run => (
            $"{run.Point.Seed}", 100 * run.Sizes.Where(size => size.Trained && of(size)).Select(size => size.Accuracy).DefaultIfEmpty(double.NaN).Average() - NearlyAll))]);
    }

    private static double Gap(DisjointnessRun run) => run.ShortFirst - run.LongFirst;

    private static IEnumerable<DisjointnessRun> At(IEnumerable<DisjointnessRun> runs, long size) => runs.Where(run => run.StateBytes == size);

    private static Estimate Mean(IEnumerable<DisjointnessRun> runs, long size, Func<DisjointnessRun, double> value) =>
        Estimate.Of([.. At(runs, size).Select(run => ($"{run.Point.Seed}", 100 * value(run)))]);

    // Differences of models of the same width and seed, so that what is common to them does not count; null where there are none.
    private static Estimate? Paired(IEnumerable<DisjointnessRun> of, IEnumerable<DisjointnessRun> than, Func<DisjointnessRun, double> value)
    {
        var pairs = of.Join(than, run => (run.Point.D, run.Point.Seed), run => (run.Point.D, run.Point.Seed),
            (one, other) => ($"{one.Point.Seed}", 100 * (value(one) - value(other)))).ToList();
        return pairs.Count == 0 ? null : Estimate.Of(pairs);
    }
}
