namespace ReadTwice.Kernels;

/// <summary>Sizes of a recurrence of I channels with N states each: inputs are [B, T, I], maps [B, T, N], the state [B, I, N].</summary>
public readonly record struct ChannelSizes(int B, int T, int I, int N)
{
    internal void RequireInputs(In x, In step, In write, In read, In skip, In h)
    {
        if (B < 1 || T < 1 || I < 1 || N < 1) throw new ArgumentException($"A recurrence needs sizes of one or more, not {this}.");
        Shape.Require(x, [B, T, I]);
        Shape.Require(step, [B, T, I]);
        Shape.Require(write, [B, T, N]);
        Shape.Require(read, [B, T, N]);
        Shape.Require(skip, [I]);
        Shape.Require(h, [B, I, N]);
    }

    internal void RequireOutput(In y, In dh)
    {
        Shape.Require(y, [B, T, I]);
        if (!dh.IsEmpty) Shape.Require(dh, [B, I, N]);
    }
}
