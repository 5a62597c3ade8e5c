using System.Buffers.Binary;
using System.Text;
using ReadTwice.Checkpoints;

namespace ReadTwice.Tests.Checkpoints;

public class SafetensorsReaderTests
{
    [Fact]
    public unsafe void Tensors_are_found_where_they_lie()
    {
        using var folder = new TempFolder();
        using var weights = WeightFiles.Open(folder.Write("a.bin", Bytes(
            """{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"n":{"dtype":"I64","shape":[],"data_offsets":[24,32]},"e":{"dtype":"BF16","shape":[4,0],"data_offsets":[24,24]}}""",
            32)));
        var w = weights.Tensors["w"];
        Assert.Equal(("w", "a.bin", StoredType.F32, 6L, 24L), (w.Name, w.File, w.Type, w.Count, w.ByteLength));
        Assert.Equal([2, 3], w.Shape);
        Assert.Equal([3, 1], w.Strides);
        Assert.Equal(Enumerable.Range(0, 24).Select(i => (byte)i), new ReadOnlySpan<byte>(w.Data, 24).ToArray());
        Assert.Equal(BinaryPrimitives.ReadInt64LittleEndian([24, 25, 26, 27, 28, 29, 30, 31]), *(long*)weights.Tensors["n"].Data);
        Assert.Equal((1, 0), (weights.Tensors["n"].Count, weights.Tensors["e"].Count));
        Assert.Equal(0, weights.Tensors["e"].ByteLength);
        Assert.Equal("pt", weights.Metadata["format"]);
    }

    [Fact]
    public unsafe void Misaligned_tensors_are_aligned_and_keep_their_values()
    {
        using var folder = new TempFolder();
        using var weights = WeightFiles.Open(folder.Write("model.safetensors", Bytes(
            """{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F64","shape":[2],"data_offsets":[1,17]}}""", 17)));
        var b = weights.Tensors["b"];
        Assert.Equal(0, (nint)b.Data % 8);
        Assert.Equal(Enumerable.Range(1, 16).Select(i => (byte)i), new ReadOnlySpan<byte>(b.Data, 16).ToArray());
    }

    [Theory]
    [InlineData("F64", 8)]
    [InlineData("F32", 4)]
    [InlineData("F16", 2)]
    [InlineData("BF16", 2)]
    [InlineData("I64", 8)]
    [InlineData("I32", 4)]
    [InlineData("I16", 2)]
    [InlineData("I8", 1)]
    [InlineData("U8", 1)]
    [InlineData("BOOL", 1)]
    public void Every_type_is_read(string dtype, int size)
    {
        using var folder = new TempFolder();
        using var weights = WeightFiles.Open(folder.Write("m.safetensors", Bytes(One(dtype, "[3]", 0, 3 * size), 3 * size)));
        Assert.Equal(dtype, weights.Tensors["w"].Type.ToString().ToUpperInvariant());
        Assert.Equal(3 * size, weights.Tensors["w"].ByteLength);
    }

    [Theory]
    [InlineData("{", 0, "the header is not valid JSON; download the file again.")]
    [InlineData("[]", 0, "the header is not a JSON object")]
    [InlineData("{} {}", 0, "the header is not valid JSON")]
    [InlineData("""{"\ud800":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}""", 4, "the header is not valid JSON")]
    [InlineData("""{"w":1}""", 0, "w is not an object; dtype, shape and data_offsets are needed.")]
    [InlineData("""{"w":{"shape":[],"data_offsets":[0,4]}}""", 4, "w has no dtype")]
    [InlineData("""{"w":{"dtype":"F32","data_offsets":[0,4]}}""", 4, "w has no shape")]
    [InlineData("""{"w":{"dtype":"F32","shape":[]}}""", 4, "w has no data_offsets")]
    [InlineData("""{"w":{"dtype":"F32","shape":[],"data_offsets":[0]}}""", 4, "w has 1 data_offsets; begin and end are needed.")]
    [InlineData("""{"w":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}""", 4, "w holds F8_E4M3, which is not known. Known: F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL.")]
    [InlineData("""{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}""", 4, "w has 4 bytes; F32 [2] needs 8.")]
    [InlineData("""{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", 4, "w has -1 in its shape; whole numbers from 0 are needed.")]
    [InlineData("""{"w":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}""", 4, "w has 1.5 in its shape")]
    [InlineData("""{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}""", 0, "w is [4294967296, 4294967296], more than any file can hold.")]
    [InlineData("""{"w":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}}""", 0, "w is [0, 4294967296, 4294967296], more than any file can hold.")]
    [InlineData("""{"w":{"dtype":"F32","shape":[2305843009213693953],"data_offsets":[0,4]}}""", 4, "w is [2305843009213693953], more than any file can hold.")]
    [InlineData("""{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 4, "w ends at byte 8 of the data, of which the file has 4; it is cut short, download it again.")]
    [InlineData("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}""", 4, "w ends at byte 0, before it begins at 4")]
    [InlineData("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[9223372036854775808,4]}}""", 4, "w has 9223372036854775808 in its data_offsets")]
    [InlineData("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"v":{"dtype":"F32","shape":[2],"data_offsets":[2,10]}}""", 10, "v begins at byte 2, inside w, which ends at 4")]
    [InlineData("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"v":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}""", 12, "v begins at byte 8; the tensors before it end at 4.")]
    [InlineData("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 5, "the tensors end at byte 4 of the data, of which the file has 5")]
    [InlineData("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "w stands twice in the header")]
    [InlineData("""{"__metadata__":{"a":1}}""", 0, "__metadata__ gives a as no text")]
    [InlineData("""{"__metadata__":[]}""", 0, "__metadata__ is not an object")]
    [InlineData("""{"a\nb":1}""", 0, "a b is not an object")]
    public void A_header_that_lies_is_refused_in_one_line(string header, int dataLength, string message) =>
        Assert.StartsWith($"m.safetensors: {message}", Error(Bytes(header, dataLength)));

    [Fact]
    public void Files_that_end_in_the_header_are_refused()
    {
        Assert.Equal("m.safetensors: the file is empty; download it again.", Error([]));
        Assert.StartsWith("m.safetensors: the file has 3 bytes;", Error([1, 0, 0]));
        Assert.Contains("its header would have 100 bytes, but the whole file has 10; it is cut short", Error([100, 0, 0, 0, 0, 0, 0, 0, .. "{}"u8]));
        Assert.Contains("would have 4294967295 bytes", Error([255, 255, 255, 255, 0, 0, 0, 0, .. "{}"u8]));
        Assert.Contains("the file begins with the bytes FFFFFFFFFFFFFFFF", Error([255, 255, 255, 255, 255, 255, 255, 255, .. "{}"u8]));
    }

    [Fact]
    public void A_header_over_the_limit_of_the_format_is_refused_unread()
    {
        using var folder = new TempFolder();
        string path = folder.Write("m.safetensors", [1, 225, 245, 5, 0, 0, 0, 0]);
        using (var stream = File.OpenWrite(path)) stream.SetLength(100_000_100);
        string message = Assert.Throws<InvalidDataException>(() => WeightFiles.Open(path)).Message;
        Assert.Equal("m.safetensors: the header has 100000001 bytes; safetensors allows 100000000.", message);
    }

    [Fact]
    public unsafe void A_tensor_beyond_four_gigabytes_is_found()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Elsewhere a file that is mostly a hole takes its full length on the disk.");
        using var folder = new TempFolder();
        const long Length = 5L << 30;
        string path = folder.Write("m.safetensors", Bytes(
            $$$"""{"a":{"dtype":"F32","shape":[{{{Length / 4}}}],"data_offsets":[0,{{{Length}}}]},"b":{"dtype":"U8","shape":[3],"data_offsets":[{{{Length}}},{{{Length + 3}}}]}}""", 0));
        using (var stream = File.OpenWrite(path))
        {
            stream.Seek(Length, SeekOrigin.End);
            stream.Write([7, 8, 9]);
        }
        using var weights = WeightFiles.Open(path);
        Assert.Equal(Length, weights.Tensors["a"].ByteLength);
        Assert.Equal([7, 8, 9], new ReadOnlySpan<byte>(weights.Tensors["b"].Data, 3).ToArray());
    }

    [Fact]
    public void More_axes_than_a_tensor_can_have_are_refused() =>
        Assert.Equal("m.safetensors: w has 65 axes; at most 64 are possible.",
            Error(Bytes(One("F32", $"[{string.Join(",", Enumerable.Repeat(1, 65))}]", 0, 4), 4)));

    [Fact]
    public void Damaged_files_are_read_or_refused_and_never_read_beyond_their_end()
    {
        byte[] whole = Bytes(
            """{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"U8","shape":[3],"data_offsets":[24,27]},"v":{"dtype":"I16","shape":[1,2],"data_offsets":[27,31]}}""", 31);
        Fuzz.Files(whole, seed: 1, rounds: 3000);
    }

    private static string One(string dtype, string shape, long begin, long end) =>
        $$$"""{"w":{"dtype":"{{{dtype}}}","shape":{{{shape}}},"data_offsets":[{{{begin}}},{{{end}}}]}}""";

    private static byte[] Bytes(string header, int dataLength)
    {
        byte[] json = Encoding.UTF8.GetBytes(header), length = new byte[8];
        Array.Resize(ref json, (json.Length + 7) / 8 * 8);
        json.AsSpan(Encoding.UTF8.GetByteCount(header)).Fill((byte)' ');
        BinaryPrimitives.WriteInt64LittleEndian(length, json.Length);
        return [.. length, .. json, .. Enumerable.Range(0, dataLength).Select(i => (byte)i)];
    }

    private static string Error(byte[] file)
    {
        using var folder = new TempFolder();
        string message = Assert.Throws<InvalidDataException>(() => WeightFiles.Open(folder.Write("m.safetensors", file))).Message;
        Assert.DoesNotContain('\n', message);
        return message;
    }
}
