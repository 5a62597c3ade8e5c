using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>Reads with eight states of a block of channels in registers while some tokens pass.</summary>
internal static unsafe class ChannelRead<L, TDecay> where L : struct, ILanes<L> where TDecay : struct, IDecay
{
    private const int Tokens = 64;   // that pass at a time: what they bring stays near

    public static void Run(ChannelOperands operands, int first, int next)
    {
        var sizes = operands.Sizes;
        var blocks = new ChannelBlocks<L>(sizes, first, next);
        int most = Math.Min(sizes.T, Tokens);
        using var scratch = Scratch.For(scratch => new Buffers(blocks, most, scratch), out var buffers);
        blocks.Load(operands.Parameter, TDecay.ParameterFactor, buffers.Parameter);
        for (int b = 0; b < sizes.B; b++)
        {
            float* h = operands.H + (nint)b * sizes.I * sizes.N;
            blocks.Load(h, 1, buffers.H);
            for (int t = 0; t < sizes.T; t += most)
                Pass(operands, (nint)b * sizes.T + t, Math.Min(most, sizes.T - t), blocks, buffers);
            blocks.Store(buffers.H, h);
        }
    }

    private static void Pass(ChannelOperands operands, nint row, int tokens, ChannelBlocks<L> blocks, Buffers to)
    {
        var (_, _, I, N) = operands.Sizes;
        blocks.Fill(operands.Write + row * N, tokens, to.Write);
        blocks.Fill(operands.Read + row * N, tokens, to.Read);
        for (int i = 0; i < blocks.Count; i++)
        {
            blocks.Gather(operands.X + row * I, i, tokens, to.X);
            blocks.Gather(operands.Step + row * I, i, tokens, to.Step);
            blocks.Gather(operands.Skip, i, 1, to.Skip);
            Begin(tokens, L.Load(to.Skip), to.X, to.Step, to.Y);
            for (int n = 0; n < blocks.N; n += ChannelBlocks<L>.States)
                Advance(
                    tokens, blocks.N, to.Step, to.X, to.Write + n, to.Read + n, to.Parameter + i * blocks.Block + n * L.Count,
                    to.H + i * blocks.Block + n * L.Count, to.Y);
            blocks.Scatter(to.Y, i, tokens, operands.Y + row * I);
        }
    }

    /// <summary>y ← skip · x, x ← step · x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Begin(int tokens, L skip, float* x, float* step, float* y)
    {
        for (int t = 0; t < tokens; t++, x += L.Count, step += L.Count, y += L.Count)
        {
            L value = L.Load(x);
            (skip * value).Store(y);
            (L.Load(step) * value).Store(x);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Advance(int tokens, nint N, float* step, float* u, float* write, float* read, float* parameter, float* h, float* y)
    {
        // Locals, not an array: only so does the compiler keep them in registers.
        L h0 = L.Load(h), h1 = L.Load(h + L.Count), h2 = L.Load(h + 2 * L.Count), h3 = L.Load(h + 3 * L.Count);
        L h4 = L.Load(h + 4 * L.Count), h5 = L.Load(h + 5 * L.Count), h6 = L.Load(h + 6 * L.Count), h7 = L.Load(h + 7 * L.Count);
        L p0 = L.Load(parameter), p1 = L.Load(parameter + L.Count), p2 = L.Load(parameter + 2 * L.Count), p3 = L.Load(parameter + 3 * L.Count);
        L p4 = L.Load(parameter + 4 * L.Count), p5 = L.Load(parameter + 5 * L.Count);
        L p6 = L.Load(parameter + 6 * L.Count), p7 = L.Load(parameter + 7 * L.Count);
        for (int t = 0; t < tokens; t++)
        {
            L s = L.Load(step), x = L.Load(u), even = L.Load(y), odd = default;
            h0 = Next(h0, s, p0, x, write[0]);
            even = L.MultiplyAdd(L.Create(read[0]), h0, even);
            h1 = Next(h1, s, p1, x, write[1]);
            odd = L.MultiplyAdd(L.Create(read[1]), h1, odd);
            h2 = Next(h2, s, p2, x, write[2]);
            even = L.MultiplyAdd(L.Create(read[2]), h2, even);
            h3 = Next(h3, s, p3, x, write[3]);
            odd = L.MultiplyAdd(L.Create(read[3]), h3, odd);
            h4 = Next(h4, s, p4, x, write[4]);
            even = L.MultiplyAdd(L.Create(read[4]), h4, even);
            h5 = Next(h5, s, p5, x, write[5]);
            odd = L.MultiplyAdd(L.Create(read[5]), h5, odd);
            h6 = Next(h6, s, p6, x, write[6]);
            even = L.MultiplyAdd(L.Create(read[6]), h6, even);
            h7 = Next(h7, s, p7, x, write[7]);
            odd = L.MultiplyAdd(L.Create(read[7]), h7, odd);
            (even + odd).Store(y);
            step += L.Count;
            u += L.Count;
            y += L.Count;
            write += N;
            read += N;
        }
        h0.Store(h);
        h1.Store(h + L.Count);
        h2.Store(h + 2 * L.Count);
        h3.Store(h + 3 * L.Count);
        h4.Store(h + 4 * L.Count);
        h5.Store(h + 5 * L.Count);
        h6.Store(h + 6 * L.Count);
        h7.Store(h + 7 * L.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static L Next(L h, L step, L parameter, L u, float write) =>
        L.MultiplyAdd(TDecay.Kept(step, parameter, write), h, L.Create(write) * u);

    private readonly struct Buffers(ChannelBlocks<L> blocks, int tokens, Scratch scratch)
    {
        public readonly float* Parameter = scratch.Take(blocks.Count * blocks.Block);
        public readonly float* H = scratch.Take(blocks.Count * blocks.Block);
        public readonly float* X = scratch.Take(tokens * L.Count);
        public readonly float* Step = scratch.Take(tokens * L.Count);
        public readonly float* Y = scratch.Take(tokens * L.Count);
        public readonly float* Skip = scratch.Take(L.Count);
        public readonly float* Write = scratch.Take(tokens * blocks.N);
        public readonly float* Read = scratch.Take(tokens * blocks.N);
    }
}
