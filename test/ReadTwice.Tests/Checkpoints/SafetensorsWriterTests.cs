using System.Text;
using ReadTwice.Checkpoints;

namespace ReadTwice.Tests.Checkpoints;

public class SafetensorsWriterTests
{
    private static readonly byte[] counting = [.. Enumerable.Range(0, 48).Select(i => (byte)i)];

    [Fact]
    public unsafe void What_is_written_is_read_again()
    {
        using var folder = new TempFolder();
        var metadata = new Dictionary<string, string> { ["position"] = "37", ["model"] = "ä\n\"" };
        byte[] file = Bytes(metadata, new("w", StoredType.F32, [2, 3], counting.AsMemory(0, 24)), new("ö\n", StoredType.BF16, [], counting.AsMemory(0, 2)),
            new("none", StoredType.Bool, [0, 4], ReadOnlyMemory<byte>.Empty), new("b", StoredType.Bool, [3], counting.AsMemory(4, 3)));
        using var weights = WeightFiles.Open(folder.Write("a.state", file));
        Assert.Equal(metadata, weights.Metadata);
        Assert.Equal(["w", "ö\n", "none", "b"], weights.Tensors.Keys);
        Assert.Equal([2, 3], weights.Tensors["w"].Shape);
        Assert.Equal(counting[..24], new ReadOnlySpan<byte>(weights.Tensors["w"].Data, 24).ToArray());
        Assert.Equal((StoredType.BF16, 1L), (weights.Tensors["ö\n"].Type, weights.Tensors["ö\n"].Count));
        Assert.Equal([0, 4], weights.Tensors["none"].Shape);
        Assert.Equal([4, 5, 6], new ReadOnlySpan<byte>(weights.Tensors["b"].Data, 3).ToArray());
    }

    [Theory]
    [InlineData("w")]
    [InlineData("we")]
    [InlineData("wei")]
    [InlineData("weig")]
    public void The_bytes_begin_at_a_multiple_of_eight_in_the_order_given(string name)
    {
        byte[] file = Bytes(null, new(name, StoredType.I64, [1], counting.AsMemory(8, 8)), new("a", StoredType.U8, [1], counting.AsMemory(0, 1)));
        Assert.Equal(0, (file.Length - 9) % 8);
        Assert.Equal([8, 9, 10, 11, 12, 13, 14, 15, 0], file[^9..]);
        Assert.StartsWith($$$"""{"{{{name}}}":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}}""",
            Encoding.UTF8.GetString(file.AsSpan(8, file.Length - 17)));
    }

    [Fact]
    public void A_file_of_no_tensors_is_a_header() => Assert.Equal([8, 0, 0, 0, 0, 0, 0, 0, .. "{}      "u8], Bytes(null));

    [Fact]
    public void Metadata_in_another_order_gives_the_same_bytes() => Assert.Equal(
        Bytes(new() { ["a"] = "1", ["b"] = "2" }), Bytes(new() { ["b"] = "2", ["a"] = "1" }));

    [Fact]
    public void Large_tensors_are_asked_for_in_parts()
    {
        var parts = new List<(long, int)>();
        byte[] buffer = new byte[1 << 24];
        SafetensorsWriter.Write(Stream.Null, null, [new("w", StoredType.F64, [5 << 20], (offset, length) =>
        {
            parts.Add((offset, length));
            return buffer.AsSpan(0, length);
        })]);
        Assert.Equal([(0, 1 << 24), (1 << 24, 1 << 24), (2 << 24, 1 << 23)], parts);
    }

    [Fact]
    public void What_does_not_fit_its_shape_is_refused()
    {
        Assert.StartsWith("w holds 3 bytes; F32 [1] needs 4.", Error(() => new TensorToWrite("w", StoredType.F32, [1], new byte[3])));
        Assert.StartsWith("w is [-1]; sizes from 0", Error(() => new TensorToWrite("w", StoredType.F32, [-1], new byte[4])));
        Assert.StartsWith("w is [4611686018427387904]; sizes from 0", Error(() => new TensorToWrite("w", StoredType.F32, [1L << 62], new byte[4])));
        Assert.Equal("w gave 3 bytes where 4 are needed.", Error(() => Bytes(null, new TensorToWrite("w", StoredType.F32, [1], (_, _) => counting.AsSpan(0, 3)))));
        var one = new TensorToWrite("w", StoredType.U8, [1], new byte[1]);
        Assert.StartsWith("w is given twice or reserved;", Error(() => Bytes(null, one, one)));
        Assert.StartsWith("__metadata__ is given twice or reserved;", Error(() => Bytes(null, one with { Name = "__metadata__" })));
    }

    private static byte[] Bytes(Dictionary<string, string>? metadata, params TensorToWrite[] tensors)
    {
        using var memory = new MemoryStream();
        SafetensorsWriter.Write(memory, metadata, tensors);
        return memory.ToArray();
    }

    private static string Error(Func<object> write) => Assert.Throws<ArgumentException>(write).Message;
}
