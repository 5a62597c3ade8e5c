namespace ReadTwice.Kernels;

/// <summary>The states of the heads that one thread reads: S [F, W] with F in whole tiles and W in whole registers, z [F].</summary>
internal readonly unsafe struct HeadStates
{
    private readonly AttentionSizes sizes;
    private readonly HeadGroup group;
    private readonly int rows, columns;
    private readonly float* S, z;

    public HeadStates(AttentionSizes sizes, HeadGroup group, int rows, int columns, Scratch scratch)
    {
        (this.sizes, this.group, this.rows, this.columns) = (sizes, group, rows, columns);
        S = scratch.Take(checked(group.Heads * rows * columns));
        z = scratch.Take(group.Heads * rows);
    }

    public float* SOf(int head) => S + (nint)(head - group.FirstHead) * rows * columns;

    public float* ZOf(int head) => z + (nint)(head - group.FirstHead) * rows;

    public void Clear()
    {
        new Ref(S, group.Heads * rows * columns).Clear();
        new Ref(z, group.Heads * rows).Clear();
    }

    /// <summary>Takes the states from a piece's; what fills up tiles and registers is zero.</summary>
    public void Load(TaylorStates from, int piece)
    {
        Clear();
        for (int head = group.FirstHead; head < group.FirstHead + group.Heads; head++)
        {
            In s = from.SOf(group.B, piece, head);
            for (int f = 0; f < sizes.F; f++) s.Slice(f * sizes.V, sizes.V).CopyTo(new(SOf(head) + f * columns, sizes.V));
            from.ZOf(group.B, piece, head).CopyTo(new(ZOf(head), sizes.F));
        }
    }

    /// <summary>Gives the states to a piece.</summary>
    public void Store(TaylorStates to, int piece)
    {
        for (int head = group.FirstHead; head < group.FirstHead + group.Heads; head++)
        {
            Ref s = to.SOf(group.B, piece, head);
            for (int f = 0; f < sizes.F; f++) new In(SOf(head) + f * columns, sizes.V).CopyTo(s.Slice(f * sizes.V, sizes.V));
            new In(ZOf(head), sizes.F).CopyTo(to.ZOf(group.B, piece, head));
        }
    }

    public bool IsEmpty(int head) =>
        !new In(SOf(head), rows * columns).ContainsAnyExcept(0) && !new In(ZOf(head), rows).ContainsAnyExcept(0);
}
