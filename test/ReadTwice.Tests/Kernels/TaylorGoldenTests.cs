using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

/// <summary>Both forms of the kernel against the tensors that the authors' code computed.</summary>
public class TaylorGoldenTests
{
    // The fixtures' own: float32 sums over some 100 tokens against float64 ones, relative to a tensor's largest value.
    private const float Tolerance = 2e-5f;

    [Theory, InlineData(false), InlineData(true)]
    public void Based_reads_as_the_authors_do_from_an_empty_state(bool fast)
    {
        var golden = new GoldenFile("based");
        var run = Load(golden, empty: true);
        var read = Read(run, fast);
        NearResults(golden, "", run.Sizes, read);
        NearGradients(golden, "", run, Differentiate(run with { DS = [], DZ = [] }, read, fast));
    }

    [Theory, InlineData(false), InlineData(true)]
    public void Based_reads_as_the_authors_do_from_a_given_state(bool fast)
    {
        var golden = new GoldenFile("based_init");
        var empty = Load(golden, empty: true);
        NearResults(golden, "", empty.Sizes, Read(empty, fast));
        NearGradients(golden, "", empty, Differentiate(empty, Read(empty, fast), fast));

        var run = Load(golden, empty: false);
        int K = run.Sizes.K, V = run.Sizes.V;
        var read = Read(run, fast);
        NearResults(golden, "init.", run.Sizes, read);
        var gradients = Differentiate(run, read, fast);
        NearGradients(golden, "init.", run, gradients);
        Numbers.Near(UnpackedTaylorState.PackGradient(golden["init.d.s0"], K, V), gradients.DS0, Tolerance, "dS0");
        Numbers.Near(UnpackedTaylorState.PackGradient(golden["init.d.z0"], K, 1), gradients.DZ0, Tolerance, "dz0");
    }

    [Theory, InlineData(false), InlineData(true)]
    public void Prefix_linear_attention_reads_as_the_authors_do(bool fast)
    {
        var golden = new GoldenFile("prefix_linear_attn");
        var run = Load(golden, empty: true) with { P = golden.Shape("ke")[1], KEnc = golden["ke"], VEnc = golden["ve"] };
        var read = Read(run, fast);
        NearResults(golden, "", run.Sizes, read);
        var gradients = Differentiate(run, read, fast);
        NearGradients(golden, "", run, gradients);
        Numbers.Near(golden["d.ke"], gradients.DKEnc, Tolerance, "dkEnc");
        Numbers.Near(golden["d.ve"], gradients.DVEnc, Tolerance, "dvEnc");
    }

    private static AttentionRun.Results Read(AttentionRun run, bool fast) => fast ? run.Forward() : run.Reference();

    private static AttentionRun.Gradients Differentiate(AttentionRun run, AttentionRun.Results read, bool fast) =>
        fast ? run.Backward(read) : run.ReferenceBackward(read);

    private static AttentionRun Load(GoldenFile golden, bool empty)
    {
        int[] q = golden.Shape("q"), v = golden.Shape("v");
        var sizes = new AttentionSizes(B: q[0], T: q[1], H: q[2], K: q[3], V: v[3]);
        var run = new AttentionRun(sizes, 0, 1 / MathF.Sqrt(sizes.K))
        {
            Q = golden["q"],
            K = golden["k"],
            V = golden["v"],
            DO = golden["do"],
            S0 = new float[sizes.B * sizes.H * sizes.F * sizes.V],
            Z0 = new float[sizes.B * sizes.H * sizes.F],
        };
        return empty ? run : run with
        {
            S0 = UnpackedTaylorState.Pack(golden["s0"], sizes.K, sizes.V),
            Z0 = UnpackedTaylorState.Pack(golden["z0"], sizes.K, 1),
            DS = UnpackedTaylorState.PackGradient(golden["dst"], sizes.K, sizes.V),
            DZ = UnpackedTaylorState.PackGradient(golden["dzt"], sizes.K, 1),
        };
    }

    private static void NearResults(GoldenFile golden, string run, AttentionSizes sizes, AttentionRun.Results read)
    {
        Numbers.Near(golden[run + "o"], read.O, Tolerance, run + "o");
        Numbers.Near(UnpackedTaylorState.Pack(golden[run + "st"], sizes.K, sizes.V), read.S, Tolerance, run + "S");
        Numbers.Near(UnpackedTaylorState.Pack(golden[run + "zt"], sizes.K, 1), read.Z, Tolerance, run + "z");
    }

    private static void NearGradients(GoldenFile golden, string run, AttentionRun call, AttentionRun.Gradients gradients)
    {
        Assert.Equal(call.Q.Length, golden[run + "d.q"].Length);
        Numbers.Near(golden[run + "d.q"], gradients.DQ, Tolerance, run + "dq");
        Numbers.Near(golden[run + "d.k"], gradients.DK, Tolerance, run + "dk");
        Numbers.Near(golden[run + "d.v"], gradients.DV, Tolerance, run + "dv");
    }
}
