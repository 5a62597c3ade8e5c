namespace ReadTwice.Kernels;

/// <summary>
/// Operands of some channels, laid out for registers: as many channels as a register has lanes make a block, and what a block
/// has of each state is a row. What fills up the last block, and the states to a multiple of eight, is zero.
/// </summary>
internal unsafe struct ChannelBlocks<L>(ChannelSizes sizes, int first, int next) where L : struct, ILanes<L>
{
    public const int States = 8;

    public readonly int Count = (next - first + L.Count - 1) / L.Count;

    /// <summary>States of a channel, filled up.</summary>
    public readonly int N = (sizes.N + States - 1) / States * States;

    /// <summary>Floats that a block takes.</summary>
    public readonly int Block => N * L.Count;

    /// <summary>Takes [channel, state] values, times a factor, as [block, state, lane].</summary>
    public readonly void Load(float* from, float factor, float* to)
    {
        new Ref(to, Count * Block).Clear();
        if (from == null) return;
        for (int i = 0; i < Count; i++)
            Transpose.Copy(from + (nint)Channel(i) * sizes.N, sizes.N, Lanes(i), sizes.N, factor, to + i * Block, L.Count);
    }

    /// <summary>The way back.</summary>
    public readonly void Store(float* from, float* to)
    {
        for (int i = 0; i < Count; i++)
            Transpose.Copy(from + i * Block, L.Count, sizes.N, Lanes(i), 1, to + (nint)Channel(i) * sizes.N, sizes.N);
    }

    /// <summary>Takes a block's channels of some tokens: [token, channel] as [token, lane].</summary>
    public readonly void Gather(float* from, int block, int tokens, float* to)
    {
        int lanes = Lanes(block);
        from += Channel(block);
        for (int t = 0; t < tokens; t++, from += sizes.I, to += L.Count)
            if (lanes == L.Count) L.Load(from).Store(to);
            else
                for (int lane = 0; lane < L.Count; lane++) to[lane] = lane < lanes ? from[lane] : 0;
    }

    /// <summary>The way back.</summary>
    public readonly void Scatter(float* from, int block, int tokens, float* to)
    {
        int lanes = Lanes(block);
        to += Channel(block);
        for (int t = 0; t < tokens; t++, from += L.Count, to += sizes.I)
            if (lanes == L.Count) L.Load(from).Store(to);
            else
                for (int lane = 0; lane < lanes; lane++) to[lane] = from[lane];
    }

    /// <summary>Takes the maps of some tokens, filled up.</summary>
    public readonly void Fill(float* from, int tokens, float* to)
    {
        for (int t = 0; t < tokens; t++, from += sizes.N, to += N)
        {
            new In(from, sizes.N).CopyTo(new(to, sizes.N));
            new Ref(to + sizes.N, N - sizes.N).Clear();
        }
    }

    private readonly int Channel(int block) => first + block * L.Count;

    private readonly int Lanes(int block) => Math.Min(L.Count, next - Channel(block));
}
