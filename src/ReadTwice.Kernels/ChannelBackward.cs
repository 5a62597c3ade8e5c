using System.Runtime.CompilerServices;

namespace ReadTwice.Kernels;

/// <summary>
/// Goes back through the tokens, some at a time: the states that they left are computed again from the one before them, of
/// which a first pass keeps a copy.
/// </summary>
internal static unsafe class ChannelBackward<L, TDecay> where L : struct, ILanes<L> where TDecay : struct, IDecay
{
    private const int Tokens = 16;   // whose states, of one block of channels, stay near

    public static void Run(ChannelOperands operands, ChannelOperands gradients, int first, int next)
    {
        var sizes = operands.Sizes;
        var blocks = new ChannelBlocks<L>(sizes, first, next);
        int all = blocks.Count * blocks.Block, most = Math.Min(sizes.T, Tokens), pieces = (sizes.T + most - 1) / most;
        using var scratch = Scratch.For(scratch => new Buffers(blocks, most, pieces, scratch), out var buffers);
        blocks.Load(operands.Parameter, TDecay.ParameterFactor, buffers.Parameter);
        new Ref(buffers.DParameter, all).Clear();
        new Ref(buffers.DSkip, blocks.Count * L.Count).Clear();
        for (int b = 0; b < sizes.B; b++)
        {
            nint state = (nint)b * sizes.I * sizes.N, row = (nint)b * sizes.T;
            blocks.Load(operands.H + state, 1, buffers.Starts);
            for (int piece = 0; piece + 1 < pieces; piece++)
                Forwards(operands, row + piece * most, most, blocks, buffers, buffers.Starts + (nint)piece * all);
            blocks.Load(gradients.H + state, 1, buffers.G);
            for (int piece = pieces - 1; piece >= 0; piece--)
                Back(operands, gradients, row + piece * most, Math.Min(most, sizes.T - piece * most), blocks, buffers, buffers.Starts + (nint)piece * all);
            blocks.Store(buffers.G, gradients.H + state);
        }
        if (TDecay.HasParameter) blocks.Store(buffers.DParameter, gradients.Parameter);
        for (int i = 0; i < blocks.Count; i++) blocks.Scatter(buffers.DSkip + i * L.Count, i, 1, gradients.Skip);
    }

    // Leaves the state after these tokens where that of the next piece is expected.
    private static void Forwards(ChannelOperands operands, nint row, int tokens, ChannelBlocks<L> blocks, Buffers to, float* start)
    {
        var (_, _, I, N) = operands.Sizes;
        blocks.Fill(operands.Write + row * N, tokens, to.Write);
        for (int i = 0; i < blocks.Count; i++)
        {
            blocks.Gather(operands.X + row * I, i, tokens, to.X);
            blocks.Gather(operands.Step + row * I, i, tokens, to.Step);
            float* from = start + i * blocks.Block, after = from + (nint)blocks.Count * blocks.Block;
            new In(from, blocks.Block).CopyTo(new(after, blocks.Block));
            for (int t = 0; t < tokens; t++)
                Step(blocks.N, t, to, to.Parameter + i * blocks.Block, null, after, after);
        }
    }

    private static void Back(
        ChannelOperands operands, ChannelOperands gradients, nint row, int tokens, ChannelBlocks<L> blocks, Buffers to, float* start)
    {
        var (_, _, I, N) = operands.Sizes;
        blocks.Fill(operands.Write + row * N, tokens, to.Write);
        blocks.Fill(operands.Read + row * N, tokens, to.Read);
        new Ref(to.DWrite, tokens * blocks.Block).Clear();
        new Ref(to.DRead, tokens * blocks.Block).Clear();
        for (int i = 0; i < blocks.Count; i++)
        {
            int at = i * blocks.Block;
            blocks.Gather(operands.X + row * I, i, tokens, to.X);
            blocks.Gather(operands.Step + row * I, i, tokens, to.Step);
            blocks.Gather(gradients.Y + row * I, i, tokens, to.DY);
            blocks.Gather(operands.Skip, i, 1, to.Skip);
            new In(start + at, blocks.Block).CopyTo(new(to.H, blocks.Block));
            for (int t = 0; t < tokens; t++)
                Step(blocks.N, t, to, to.Parameter + at, to.Kept + t * blocks.Block, to.H + t * blocks.Block, to.H + (t + 1) * blocks.Block);
            L dSkip = L.Load(to.DSkip + i * L.Count);
            for (int t = tokens - 1; t >= 0; t--)
                dSkip = StepBack(blocks.N, t, to, to.Parameter + at, to.DParameter + at, to.G + at, dSkip);
            dSkip.Store(to.DSkip + i * L.Count);
            blocks.Scatter(to.X, i, tokens, gradients.X + row * I);
            blocks.Scatter(to.Step, i, tokens, gradients.Step + row * I);
        }
        for (int t = 0; t < tokens; t++)
            for (int n = 0; n < N; n++)
            {
                gradients.Write[(row + t) * N + n] = L.Sum(L.Load(to.DWrite + t * blocks.Block + n * L.Count));
                gradients.Read[(row + t) * N + n] = L.Sum(L.Load(to.DRead + t * blocks.Block + n * L.Count));
            }
    }

    /// <summary>One token forwards; what was kept of each state is noted where it is asked for.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Step(int N, int t, Buffers at, float* parameter, float* kept, float* before, float* after)
    {
        L step = L.Load(at.Step + t * L.Count), u = step * L.Load(at.X + t * L.Count);
        float* write = at.Write + t * N;
        for (int n = 0; n < N; n++)
        {
            L factor = TDecay.Kept(step, L.Load(parameter + n * L.Count), write[n]);
            if (kept != null) factor.Store(kept + n * L.Count);
            L.MultiplyAdd(factor, L.Load(before + n * L.Count), L.Create(write[n]) * u).Store(after + n * L.Count);
        }
    }

    /// <summary>One token backwards; puts the gradients of x and step in their place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static L StepBack(int N, int t, Buffers at, float* parameter, float* dParameter, float* g, L dSkip)
    {
        int lane = t * L.Count, block = N * L.Count;
        L step = L.Load(at.Step + lane), x = L.Load(at.X + lane), u = step * x, dy = L.Load(at.DY + lane), du = default, dStep = default;
        float* write = at.Write + t * N, read = at.Read + t * N;
        float* kept = at.Kept + t * block, before = at.H + t * block, dWrite = at.DWrite + t * block, dRead = at.DRead + t * block;
        for (int n = 0; n < N; n++, kept += L.Count, before += L.Count, dWrite += L.Count, dRead += L.Count)
        {
            L gradient = L.MultiplyAdd(L.Create(read[n]), dy, L.Load(g));   // of the state that this token left
            L.MultiplyAdd(dy, L.Load(before + block), L.Load(dRead)).Store(dRead);
            du = L.MultiplyAdd(L.Create(write[n]), gradient, du);
            L dKey = L.MultiplyAdd(gradient, u, L.Load(dWrite)), dOwn = L.Load(dParameter), factor = L.Load(kept);
            TDecay.Back(gradient * L.Load(before), factor, step, L.Load(parameter), write[n], ref dStep, ref dOwn, ref dKey);
            dKey.Store(dWrite);
            dOwn.Store(dParameter);
            (gradient * factor).Store(g);
            parameter += L.Count;
            dParameter += L.Count;
            g += L.Count;
        }
        L.MultiplyAdd(L.Load(at.Skip), dy, du * step).Store(at.X + lane);
        L.MultiplyAdd(L.Create(TDecay.StepFactor), dStep, du * x).Store(at.Step + lane);
        return L.MultiplyAdd(dy, x, dSkip);
    }

    private readonly struct Buffers(ChannelBlocks<L> blocks, int tokens, int pieces, Scratch scratch)
    {
        public readonly float* Parameter = scratch.Take(blocks.Count * blocks.Block);
        public readonly float* DParameter = scratch.Take(blocks.Count * blocks.Block);
        public readonly float* G = scratch.Take(blocks.Count * blocks.Block);
        public readonly float* Starts = scratch.Take(checked(pieces * blocks.Count * blocks.Block));
        public readonly float* DSkip = scratch.Take(blocks.Count * L.Count);
        public readonly float* Skip = scratch.Take(L.Count);
        public readonly float* X = scratch.Take(tokens * L.Count);
        public readonly float* Step = scratch.Take(tokens * L.Count);
        public readonly float* DY = scratch.Take(tokens * L.Count);
        public readonly float* Write = scratch.Take(tokens * blocks.N);
        public readonly float* Read = scratch.Take(tokens * blocks.N);
        public readonly float* DWrite = scratch.Take(tokens * blocks.Block);
        public readonly float* DRead = scratch.Take(tokens * blocks.Block);
        public readonly float* Kept = scratch.Take(tokens * blocks.Block);
        public readonly float* H = scratch.Take((tokens + 1) * blocks.Block);
    }
}
