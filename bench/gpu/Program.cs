// Checks the CUDA kernels against double precision, says what the driver made of them, and times the shapes of the paper's tables 5a
// and 5b (arXiv 2407.05483): keys of 16, values of 64, 16 heads, a prefix of half the text.
using ReadTwice.Bench.Gpu;
using ReadTwice.Kernels;
using ReadTwice.Kernels.Cuda;

const int Runs = 20;
const double Allowed = 2e-2;   // bfloat16, relative to the largest value

if (CudaDriver.Find(0, out string? problem) is not { } card)
{
    Console.WriteLine(problem);
    return 1;
}
Console.WriteLine($"{card.Name}, {card.Multiprocessors} multiprocessors\n");
try
{
    Describe(card);
    if (!Check(card)) return 1;
    Forward(card);
    Backward(card);
    Step(card);
    return 0;
}
catch (CudaException e)
{
    Console.WriteLine(e.Message);
    return 1;
}

static void Describe(CudaDriver card)
{
    const int StaticSharedBytes = 1, LocalBytes = 3, Registers = 4;
    Console.WriteLine("| kernel | V | registers | spilled bytes | shared bytes | blocks a multiprocessor |\n|---|---|---|---|---|---|");
    foreach (int V in new[] { 64, 112 })
    {
        Row("PrefixLinearAttention", "prefixLinearAttention", V, 2 * V, CudaPrefixLinearAttention.SharedBytes(V));
        Row("PrefixLinearAttentionBackward", "gradientOfFeatures", V, 2 * (V + 16), CudaPrefixLinearAttentionBackward.SharedBytes(V));
        Row("PrefixLinearAttentionStep", "prefixLinearAttentionStep", V, 128, 0);
        Row("GatedConvolution", "gatedConvolution", V, 128, 0);
    }
    Console.WriteLine();

    void Row(string module, string kernel, int V, int threads, int shared)
    {
        nint function = card.Function(module, kernel, shared);
        CudaApi.Check(CudaApi.Occupancy(out int blocks, function, threads, (nuint)shared), "Asking for the occupancy");
        Console.WriteLine($"| {kernel} | {V} | {Of(Registers)} | {Of(LocalBytes)} | {Of(StaticSharedBytes) + shared} | {blocks} |");

        int Of(int attribute)
        {
            CudaApi.Check(CudaApi.FunctionAttribute(out int value, attribute, function), "Asking for an attribute");
            return value;
        }
    }
}

static bool Check(CudaDriver card)
{
    bool holds = true;
    foreach (var (B, T, P, V) in new[] { (2, 200, 70, 64), (1, 65, 0, 64), (1, 130, 129, 112), (1, 1, 5, 48), (1, 1500, 700, 64) })
    {
        using var read = new AttentionCase(card, new(B, T, 2, 16, V), P, learns: false);
        double error = read.ForwardError();
        Console.WriteLine($"B {B}, T {T}, P {P}, V {V}, {read.Segments} segments: outputs differ by {error:0.0e+0} of the largest");
        holds &= error < Allowed;
        using var learn = new AttentionCase(card, new(B, T, 2, 16, V), P, learns: true);
        var errors = learn.BackwardErrors();
        Console.WriteLine($"  gradients by {errors.DQ:0.0e+0} (q), {errors.DK:0.0e+0} (k), {errors.DV:0.0e+0} (v), {errors.DKEnc:0.0e+0} and {errors.DVEnc:0.0e+0} (prefix)");
        holds &= Math.Max(Math.Max(errors.DQ, errors.DK), Math.Max(errors.DV, Math.Max(errors.DKEnc, errors.DVEnc))) < Allowed;
    }
    Console.WriteLine(holds ? "\nAll agree.\n" : $"\nMore than {Allowed:0.0e+0} is an error; nothing is timed.");
    return holds;
}

static void Forward(CudaDriver card)
{
    Console.WriteLine("| forward | B | T | P | segments | ms, median of 20 | quartiles | TB/s of the operands |\n|---|---|---|---|---|---|---|---|");
    foreach (bool withPrefix in new[] { false, true })
    {
        foreach (int T in new[] { 2048, 4096, 8192, 16384, 32768 }) Time(16, T);
        foreach (int B in new[] { 1, 2, 4, 8, 32, 64 }) Time(B, 16384);

        void Time(int B, int T)
        {
            int P = withPrefix ? T / 2 : 0;
            using var run = new AttentionCase(card, new(B, T, 16, 16, 64), P, learns: false);
            var times = CudaBuffers.Time(Runs, run.Forward);
            Console.WriteLine($"| {(withPrefix ? "JRT-RNN" : "Based")} | {B} | {T} | {P} | {run.Segments} | {Median(times)} | {run.Bytes / 1e9 / times[Runs / 2]:0.00} |");
        }
    }
    Console.WriteLine();
}

static void Backward(CudaDriver card)
{
    Console.WriteLine("| backward | B | T | P | ms, median of 20 | quartiles |\n|---|---|---|---|---|---|");
    foreach (int T in new[] { 2048, 8192, 32768 })
    {
        using var run = new AttentionCase(card, new(16, T, 16, 16, 64), T / 2, learns: true);
        run.Forward();
        Console.WriteLine($"| JRT-RNN | 16 | {T} | {T / 2} | {Median(CudaBuffers.Time(Runs, run.Backward))} |");
    }
    Console.WriteLine();
}

static void Step(CudaDriver card)
{
    Console.WriteLine("| step | B | ms, median of 20 | quartiles | TB/s of the state |\n|---|---|---|---|---|");
    foreach (int B in new[] { 1, 16, 64 })
    {
        var sizes = new AttentionSizes(B, 1, 16, 16, 64);
        long heads = 16L * B, state = heads * sizes.F * sizeof(float);
        using var buffers = new CudaBuffers();
        var x = new CudaAttentionOperands
        {
            Q = buffers.RandomHalves(heads * 16, 1),
            K = buffers.RandomHalves(heads * 16, 2),
            V = buffers.RandomHalves(heads * 64, 3),
            S = buffers.New(state * 64),
            Z = buffers.New(state),
            EndS = buffers.New(state * 64),
            EndZ = buffers.New(state),
            O = buffers.New(heads * 64 * 2),
        };
        var times = CudaBuffers.Time(Runs, () => CudaPrefixLinearAttention.Step(card, sizes, 0.25f, x));
        Console.WriteLine($"| step | {B} | {Median(times)} | {2 * state * 65 / 1e9 / times[Runs / 2]:0.00} |");
    }
}

static string Median(float[] times) => $"{times[Runs / 2]:0.0000} | {times[Runs / 4]:0.0000} to {times[Runs * 3 / 4]:0.0000}";
