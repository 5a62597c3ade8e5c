using System.Numerics;
using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>Where the operands of RWKV-4's average, or their gradients, lie.</summary>
internal unsafe struct Rwkv4Operands
{
    public int B, T, D;
    public float* K, V, W, U, Num, Den, Max, Y;
}

/// <summary>The fast form of RWKV-4's average: some channels at a time, token after token, so that rows are read as they lie in memory.</summary>
internal static unsafe class Rwkv4Channels
{
    private const int Channels = 64, FewestNumbersForThreads = 1 << 12;

    /// <summary>The sums before some token, in some channels.</summary>
    private readonly record struct Sums(Vector<float> Num, Vector<float> Den, Vector<float> Max)
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Sums Load(float* at) => new(Vector.Load(at), Vector.Load(at + Channels), Vector.Load(at + 2 * Channels));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Store(float* at)
        {
            Num.Store(at);
            Den.Store(at + Channels);
            Max.Store(at + 2 * Channels);
        }

        /// <summary>The sums with one more token, key and value given, and the factors that the old ones and the token have in them.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Sums With(Vector<float> k, Vector<float> v, out Vector<float> past, out Vector<float> own)
        {
            // Of both factors the larger is one: a single exponential gives the other.
            var less = Vector.Exp(-Vector.Abs(Max - k));
            var older = Vector.GreaterThan(Max, k);
            past = Vector.ConditionalSelect(older, Vector<float>.One, less);
            own = Vector.ConditionalSelect(older, less, Vector<float>.One);
            return new(past * Num + own * v, past * Den + own, Vector.Max(Max, k));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Sums Faded(Vector<float> w) => this with { Max = Max + w };
    }

    /// <summary>Reads the sequence and advances the state.</summary>
    public static void Read(Rwkv4Operands operands, int threads)
    {
        int D = operands.D, blocks = (D + Channels - 1) / Channels, all = operands.B * blocks;
        Run(operands, all, threads, i =>
        {
            int b = i / blocks, c = i % blocks * Channels, count = Math.Min(Channels, D - c);
            float* sums = stackalloc float[3 * Channels];
            Load(operands, b, c, count, sums);
            for (nint t = 0, row = (nint)b * operands.T * D + c; t < operands.T; t++, row += D)
                for (int j = 0; j < count; j += Vector<float>.Count)
                {
                    int n = count - j;
                    Vector<float> k = Load(operands.K + row + j, n), v = Load(operands.V + row + j, n);
                    var before = Sums.Load(sums + j);
                    var seen = before.With(k + Load(operands.U + c + j, n), v, out _, out _);
                    Store(seen.Num / seen.Den, operands.Y + row + j, n);
                    before.Faded(Load(operands.W + c + j, n)).With(k, v, out _, out _).Store(sums + j);
                }
            Save(sums, count, operands.Num, operands.Den, operands.Max, b * D + c);
        });
    }

    /// <summary>The gradients, given those of y (in operands.Y) and of the state that was left.</summary>
    public static void ReadBack(Rwkv4Operands operands, Rwkv4Operands gradients, float* dnum, float* dden, int threads)
    {
        int D = operands.D;
        // The rows of a batch share w and u, so one thread has a channel in all of them.
        Run(operands, (D + Channels - 1) / Channels, threads, i =>
        {
            int c = i * Channels, count = Math.Min(Channels, D - c);
            new Ref(gradients.W + c, count).Clear();
            new Ref(gradients.U + c, count).Clear();
            using var scratch = Scratch.For(scratch => new Buffers(operands.T, scratch), out var buffers);
            for (int b = 0; b < operands.B; b++) ReadBack(operands, gradients, dnum, dden, b, c, count, buffers);
        });
    }

    private static void ReadBack(
        in Rwkv4Operands operands, in Rwkv4Operands gradients, float* dnum, float* dden, int b, int c, int count, Buffers buffers)
    {
        int T = operands.T, D = operands.D;
        nint first = (nint)b * T * D + c;
        Load(operands, b, c, count, buffers.Sums);
        for (int t = 0; t < T - 1; t++)
            for (int j = 0; j < count; j += Vector<float>.Count)
            {
                nint at = first + (nint)t * D + j;
                float* sums = buffers.Sums + (nint)t * 3 * Channels + j;
                Sums.Load(sums).Faded(Load(operands.W + c + j, count - j))
                    .With(Load(operands.K + at, count - j), Load(operands.V + at, count - j), out _, out _).Store(sums + 3 * Channels);
            }

        float* later = buffers.Later;
        new In(dnum + b * D + c, count).CopyTo(new(later, count));
        new In(dden + b * D + c, count).CopyTo(new(later + Channels, count));
        for (int t = T - 1; t >= 0; t--)
            for (int j = 0; j < count; j += Vector<float>.Count)
            {
                int n = count - j;
                nint at = first + (nint)t * D + j;
                Vector<float> k = Load(operands.K + at, n), v = Load(operands.V + at, n);
                Vector<float> gnum = Vector.Load(later + j), gden = Vector.Load(later + Channels + j);
                var before = Sums.Load(buffers.Sums + (nint)t * 3 * Channels + j);

                // y = seen.Num / seen.Den; the state after the token is the faded one with it.
                var seen = before.With(k + Load(operands.U + c + j, n), v, out var pastSeen, out var ownSeen);
                var dseen = Load(operands.Y + at, n) / seen.Den;
                var dweight = -dseen * seen.Num / seen.Den;
                _ = before.Faded(Load(operands.W + c + j, n)).With(k, v, out var past, out var own);

                var du = ownSeen * (dseen * v + dweight);
                var dw = past * (gnum * before.Num + gden * before.Den);
                Store(ownSeen * dseen + own * gnum, gradients.V + at, n);
                Store(du + own * (gnum * v + gden), gradients.K + at, n);
                Store(Load(gradients.U + c + j, n) + du, gradients.U + c + j, n);
                Store(Load(gradients.W + c + j, n) + dw, gradients.W + c + j, n);
                (past * gnum + pastSeen * dseen).Store(later + j);
                (past * gden + pastSeen * dweight).Store(later + Channels + j);
            }
        new In(later, count).CopyTo(new(gradients.Num + b * D + c, count));
        new In(later + Channels, count).CopyTo(new(gradients.Den + b * D + c, count));
    }

    private static void Run(in Rwkv4Operands operands, int all, int threads, Action<int> read)
    {
        int parts = (long)operands.B * operands.T * operands.D < FewestNumbersForThreads ? 1 : Math.Min(threads, all);
        RowWork.Run(all, parts, (_, first, next) =>
        {
            for (int i = first; i < next; i++) read(i);
        });
    }

    // What lies beyond the channels that there are is an empty sum.
    private static void Load(in Rwkv4Operands operands, int b, int c, int count, float* sums)
    {
        new Ref(sums, 3 * Channels).Clear();
        int at = b * operands.D + c;
        new In(operands.Num + at, count).CopyTo(new(sums, count));
        new In(operands.Den + at, count).CopyTo(new(sums + Channels, count));
        new In(operands.Max + at, count).CopyTo(new(sums + 2 * Channels, count));
    }

    private static void Save(float* sums, int count, float* num, float* den, float* max, int at)
    {
        new In(sums, count).CopyTo(new(num + at, count));
        new In(sums + Channels, count).CopyTo(new(den + at, count));
        new In(sums + 2 * Channels, count).CopyTo(new(max + at, count));
    }

    /// <summary>The first n numbers, or as many as a vector holds; zeros after them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> Load(float* from, int n) => n >= Vector<float>.Count ? Vector.Load(from) : LoadSome(from, n);

    private static Vector<float> LoadSome(float* from, int n)
    {
        Ref some = stackalloc float[Vector<float>.Count];
        some.Clear();
        new In(from, n).CopyTo(some);
        return new(some);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector<float> numbers, float* to, int n)
    {
        if (n >= Vector<float>.Count) numbers.Store(to);
        else
            for (int i = 0; i < n; i++) to[i] = numbers[i];
    }

    /// <summary>The sums before each token, and the gradients of those after it.</summary>
    private readonly struct Buffers(int T, Scratch scratch)
    {
        public readonly float* Sums = scratch.Take(checked(T * 3 * Channels));
        public readonly float* Later = scratch.Take(2 * Channels);
    }
}
