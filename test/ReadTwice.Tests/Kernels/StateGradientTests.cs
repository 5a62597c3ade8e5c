using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

/// <summary>The gradients of RWKV-7's recurrence, and with them the delta rule's: the loops against small changes, the fast form against the loops.</summary>
public sealed class StateGradientTests
{
    // Float32 sums over some 100 tokens, in another order, relative to a tensor's largest value.
    private const float Tolerance = 2e-5f;

    private static readonly AttentionSizes[] sizes =
    [
        new(B: 1, T: 1, H: 1, K: 1, V: 1), new(2, 3, 3, 5, 7), new(1, 16, 2, 16, 64), new(2, 17, 1, 24, 17), new(1, 65, 3, 8, 48),
        new(1, 31, 2, 33, 130), new(3, 2, 2, 64, 80), new(1, 40, 1, 3, 33),
    ];

    public static TheoryData<string> Decays => ["none", "head", "key"];

    [Theory, MemberData(nameof(Decays))]
    public void The_references_gradients_foretell_what_a_small_change_does(string decay)
    {
        const float Step = 1f / 64;
        var run = Make(decay, new(B: 2, T: 4, H: 2, K: 3, V: 5));
        var (dO, dS) = Cotangents(run);
        var gradients = run.Backward(dO, dS);
        (float[] Values, float[] Gradient)[] pairs =
        [
            (run.Q, gradients.R), (run.Decay, gradients.Decay), (run.K, gradients.K), (run.V, gradients.V), (run.Asks, gradients.Asks),
            (run.Rewrites, gradients.Rewrites), (run.S0, gradients.S0),
        ];
        foreach (var (values, gradient) in pairs)
            for (int i = 0; i < values.Length; i++)
            {
                float kept = values[i];
                values[i] = kept + Step;
                double after = Loss();
                values[i] = kept - Step;
                double before = Loss();
                values[i] = kept;
                // The loss is a polynomial of each value, of degree four at most for a decay that several rows share.
                Assert.Equal((after - before) / (2 * Step), gradient[i], 0.02);
            }

        double Loss()
        {
            var (o, S) = run.Reference();
            return o.Zip(dO, (x, y) => (double)x * y).Sum() + S.Zip(dS, (x, y) => (double)x * y).Sum();
        }
    }

    [Theory, MemberData(nameof(Decays))]
    public void Every_register_width_gives_the_gradients_of_the_reference(string decay)
    {
        foreach (var size in sizes)
        {
            var run = Make(decay, size);
            var (dO, dS) = Cotangents(run);
            foreach (float[] last in (float[][])[dS, []])
            {
                var expected = run.Backward(dO, last);
                foreach (var width in RecurrenceRun.Widths)
                    foreach (int threads in (int[])[1, 3])
                    {
                        BorrowedMemory.Poison();
                        foreach (var (theirs, ours) in expected.All.Zip(run.Backward(dO, last, width, threads).All))
                            Numbers.Near(theirs.Values, ours.Values, Tolerance, $"{size} {width} {threads} threads d{theirs.Name}");
                    }
            }
        }
    }

    [Theory, MemberData(nameof(Decays))]
    public void Memory_may_end_where_a_span_does(string decay)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Fences around memory are made for Linux alone.");
        var run = Make(decay, new(B: 1, T: 37, H: 2, K: 9, V: 21));
        var (dO, dS) = Cotangents(run);
        var expected = run.Backward(dO, dS);
        foreach (var width in RecurrenceRun.Widths)
            foreach (bool atEnd in (bool[])[false, true])
            {
                using Fenced r = new(run.Q, atEnd), d = new(run.Decay, atEnd), k = new(run.K, atEnd), v = new(run.V, atEnd), a = new(run.Asks, atEnd);
                using Fenced b = new(run.Rewrites, atEnd), S = new(run.S0, atEnd), gradient = new(dO, atEnd), last = new(dS, atEnd);
                using Fenced dr = new(run.Q, atEnd), dd = new(run.Decay, atEnd), dk = new(run.K, atEnd), dv = new(run.V, atEnd), da = new(run.Asks, atEnd);
                using Fenced db = new(run.Rewrites, atEnd), dS0 = new(run.S0, atEnd);
                Rwkv7.Backward(
                    width, run.Sizes, r.Span, d.Span, k.Span, v.Span, a.Span, b.Span, S.Span, gradient.Span, last.Span,
                    dr.Span, dd.Span, dk.Span, dv.Span, da.Span, db.Span, dS0.Span, 1);
                Numbers.Near(expected.V, dv.Span, Tolerance, $"{width} dv");
                Numbers.Near(expected.S0, dS0.Span, Tolerance, $"{width} dS0");
            }
    }

    [Fact]
    public void A_gradient_without_room_is_named()
    {
        var run = Make("key", new(B: 1, T: 2, H: 1, K: 3, V: 2));
        var error = Assert.Throws<ArgumentException>(() => Rwkv7.Backward(
            run.Sizes, run.Q, run.Decay, run.K, run.V, run.Asks, run.Rewrites, run.S0, run.V, [],
            new float[6], new float[2], new float[6], new float[4], new float[6], new float[6], new float[6]));
        Assert.Equal("ddecay holds 2 values; [6] needs 6. (Parameter 'ddecay')", error.Message);
    }

    private static RecurrenceRun Make(string decay, AttentionSizes sizes)
    {
        var run = RecurrenceRun.Random("rwkv7", sizes);
        return run with { Decay = decay switch { "none" => [], "head" => run.Decay[..(sizes.B * sizes.T * sizes.H)], _ => run.Decay } };
    }

    private static (float[] O, float[] S) Cotangents(RecurrenceRun run)
    {
        var random = new Random(3);
        return (Numbers.Random(random, run.V.Length), Numbers.Random(random, run.S0.Length));
    }
}
