using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

/// <summary>The delta rule in its forms, RWKV-6 and RWKV-7: the fast forms against the plain loops, and both against the authors' code.</summary>
public sealed class StateRecurrenceTests
{
    // Float32 sums over some 100 tokens, in another order, relative to a tensor's largest value.
    private const float Tolerance = 1e-5f;

    private static readonly AttentionSizes[] sizes =
    [
        new(B: 1, T: 1, H: 1, K: 1, V: 1), new(2, 3, 3, 5, 7), new(1, 63, 2, 16, 64), new(2, 64, 1, 24, 17), new(1, 65, 3, 8, 48),
        new(1, 31, 2, 33, 130), new(3, 2, 2, 64, 80), new(1, 1, 2, 64, 64), new(1, 40, 1, 3, 33),
    ];

    public static TheoryData<string> Rules => [.. RecurrenceRun.Rules];

    [Theory, MemberData(nameof(Rules))]
    public void The_reference_reads_as_the_authors_do(string rule) => ReadsAsTheAuthorsDo(rule, run => run.Reference());

    [Theory, MemberData(nameof(Rules))]
    public void The_fast_form_reads_as_the_authors_do(string rule) => ReadsAsTheAuthorsDo(rule, run => run.Forward());

    [Theory, MemberData(nameof(Rules))]
    public void Every_register_width_gives_what_the_reference_gives(string rule)
    {
        foreach (var size in sizes)
        {
            var run = RecurrenceRun.Random(rule, size);
            var expected = run.Reference();
            foreach (var width in RecurrenceRun.Widths)
                foreach (int threads in (int[])[1, 3]) Near(expected, run.Forward(width, threads), $"{size} {width} {threads} threads");
        }
    }

    [Theory, MemberData(nameof(Rules))]
    public void Two_calls_that_hand_the_state_over_give_what_one_gives(string rule)
    {
        var run = RecurrenceRun.Random(rule, new(B: 2, T: 70, H: 2, K: 12, V: 20));
        var whole = run.Forward();
        foreach (int cut in (int[])[1, 32, 33, 69])
        {
            var first = run.Tokens(0, cut).Forward();
            var second = (run.Tokens(cut, 70) with { S0 = first.S }).Forward();
            Near(new(Outputs(whole.O, run, cut, 70), whole.S), second, $"after {cut} tokens");
            Numbers.Near(Outputs(whole.O, run, 0, cut), first.O, Tolerance, $"the first {cut} tokens");
        }
    }

    [Theory, MemberData(nameof(Rules))]
    public void Nothing_outside_the_spans_is_read_or_written(string rule)
    {
        foreach (var width in RecurrenceRun.Widths)
        {
            var run = RecurrenceRun.Random(rule, new(B: 1, T: 37, H: 2, K: 9, V: 21));
            Guarded q = new(run.Q, 1), k = new(run.K, 2), v = new(run.V, 3), decay = new(run.Decay, 1), S = new(run.S0, 2), o = new(run.V, 3);
            run.Forward(width, q.Span, k.Span, v.Span, decay.Span, S.Span, o.Span);
            Near(run.Reference(), new(o.Span.ToArray(), S.Span.ToArray()), $"{width}");
            foreach (var guarded in (Guarded[])[q, k, v, decay, S, o]) guarded.RequireIntact();
        }
    }

    [Fact]
    public void A_key_just_written_returns_its_value_and_rewritten_leaves_no_trace_of_the_old()
    {
        // β = 1 and unit keys: what is written stands alone under its key.
        float[] k = [1, 0, 1, 0], v = [2, 3, -5, 7], S = new float[4], o = new float[4];
        DeltaRule.Forward(new(1, 2, 1, 2, 2), 1, k, k, v, [1, 1], [], [], S, o);
        Assert.Equal(v, o);
        Assert.Equal([-5, 7, 0, 0], S);
    }

    [Fact]
    public void Spans_that_do_not_fit_are_named()
    {
        var error = Assert.Throws<ArgumentException>(() =>
            DeltaRule.Forward(new(1, 1, 1, 2, 2), 1, new float[2], new float[2], new float[2], new float[2], [], [], new float[4], new float[2]));
        Assert.StartsWith("beta holds 2 values; [1, 1, 1] needs 1.", error.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => DeltaRule.Forward(new(0, 1, 1, 2, 2), 1, [], [], [], [], [], [], [], []));
    }

    private static void ReadsAsTheAuthorsDo(string rule, Func<RecurrenceRun, RecurrenceRun.Results> read)
    {
        var golden = new GoldenFile(rule);
        Near(new(golden["o"], golden["ht"]), read(RecurrenceRun.Load(golden, rule, empty: true)), rule);
        Near(new(golden["init.o"], golden["init.ht"]), read(RecurrenceRun.Load(golden, rule, empty: false)), $"{rule} from a state");
    }

    private static float[] Outputs(float[] o, RecurrenceRun run, int from, int to) => (run with { V = o }).Tokens(from, to).V;

    private static void Near(RecurrenceRun.Results expected, RecurrenceRun.Results actual, string what)
    {
        Numbers.Near(expected.O, actual.O, Tolerance, $"{what} o");
        Numbers.Near(expected.S, actual.S, Tolerance, $"{what} S");
    }
}
