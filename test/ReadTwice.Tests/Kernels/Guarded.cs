namespace ReadTwice.Tests.Kernels;

/// <summary>Values between guards of NaN: a kernel that reads beyond its span gives NaN, one that writes there is found out.</summary>
internal sealed class Guarded
{
    private const int Width = 64;
    private readonly float[] memory;
    private readonly int start, count;

    public Guarded(In values, int shift)
    {
        (start, count) = (Width + shift, values.Length);
        memory = new float[start + count + Width];
        memory.AsSpan().Fill(float.NaN);
        values.CopyTo(Span);
    }

    public Ref Span => memory.AsSpan(start, count);

    public void RequireIntact()
    {
        Assert.All(memory[..start], value => Assert.True(float.IsNaN(value)));
        Assert.All(memory[(start + count)..], value => Assert.True(float.IsNaN(value)));
    }
}
