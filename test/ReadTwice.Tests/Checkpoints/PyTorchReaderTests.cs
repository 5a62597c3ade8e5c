using System.IO.Compression;
using System.Runtime.InteropServices;
using ReadTwice.Checkpoints;
using static ReadTwice.Tests.Checkpoints.PickleBytes;

namespace ReadTwice.Tests.Checkpoints;

public sealed unsafe class PyTorchReaderTests : IDisposable
{
    private const string SaveAgain = " Save it again as torch.save(model.state_dict(), path), or convert it to safetensors.";

    private static readonly float[] counting = [0, 1, 2, 3, 4, 5, 6, 7];

    private readonly TempFolder folder = new();

    public void Dispose() => folder.Dispose();

    public static TheoryData<string, string> GoldenPickles()
    {
        var data = new TheoryData<string, string>();
        if (Shared.Find("golden") is { } root)
            foreach (string ending in new[] { "pytorch_model.bin", "model.pth" })
                foreach (string path in Directory.GetFiles(root, ending, SearchOption.AllDirectories).Order(StringComparer.Ordinal))
                    data.Add(Path.GetRelativePath(root, Path.GetDirectoryName(path)!), ending);
        if (data.Count == 0) data.Add("jrt/tiny-a", "pytorch_model.bin");   // absent, which the test says
        return data;
    }

    [Theory]
    [MemberData(nameof(GoldenPickles))]
    public void Golden_files_hold_what_the_safetensors_beside_them_hold(string golden, string name)
    {
        using var pickled = WeightFiles.Open(Shared.Path("golden", golden, name));
        using var weights = WeightFiles.Open(Shared.Path("golden", golden, "model.safetensors"));
        var left = pickled.Tensors.ToDictionary();
        foreach (var (key, expected) in weights.Tensors)
        {
            if (!left.Remove(key, out var found)) Assert.True(left.Remove($"model.{key}", out found), $"{key} is missing");
            Assert.Equal(expected.Type, found!.Type);
            Assert.Equal(expected.Shape, found.Shape);
            Assert.Equal(Values(expected), Values(found));
        }
        // The .bin alone has the tied matrix a second time, most often in the same storage, and the trainer's counters.
        foreach (var tensor in left.Values.Where(tensor => tensor.Type != StoredType.I64))
            Assert.Contains(pickled.Tensors.Values, other => other != tensor && other.Shape.SequenceEqual(tensor.Shape) && Values(other).SequenceEqual(Values(tensor)));
    }

    [Fact]
    public void A_tied_matrix_lies_in_memory_once()
    {
        using var weights = WeightFiles.Open(Shared.Path("golden", "mamba-ssm", "tiny-a", "pytorch_model.bin"));
        Assert.Equal((nint)weights.Tensors["backbone.embedding.weight"].Data, (nint)weights.Tensors["lm_head.weight"].Data);
    }

    [Fact]
    public void Views_of_a_storage_keep_their_offset_and_strides()
    {
        byte[] storage = Storage("FloatStorage", "0", 8);
        using var weights = Open(Pickle(Dictionary(
            ("whole", Tensor(storage, 0, [2, 4], [4, 1])), ("turned", Tensor(storage, 1, [3, 2], [1, 4])),
            ("one", Tensor(storage, 7, [], [])), ("none", Tensor(storage, 0, [0, 3], [3, 1])), ("repeated", Tensor(storage, 2, [2, 3], [0, 1])))));
        Assert.Equal([1f, 5, 2, 6, 3, 7], Floats(weights.Tensors["turned"]));
        Assert.Equal([7f], Floats(weights.Tensors["one"]));
        Assert.Equal([2f, 3, 4, 2, 3, 4], Floats(weights.Tensors["repeated"]));
        Assert.Empty(Floats(weights.Tensors["none"]));
        Assert.Equal([1, 4], weights.Tensors["turned"].Strides);
        Assert.Equal((28, 12, 0), (weights.Tensors["turned"].ByteLength, weights.Tensors["repeated"].ByteLength, weights.Tensors["none"].ByteLength));
        Assert.Equal((nint)weights.Tensors["whole"].Data + 4, (nint)weights.Tensors["turned"].Data);
    }

    [Theory]
    [InlineData("DoubleStorage", StoredType.F64)]
    [InlineData("FloatStorage", StoredType.F32)]
    [InlineData("HalfStorage", StoredType.F16)]
    [InlineData("BFloat16Storage", StoredType.BF16)]
    [InlineData("LongStorage", StoredType.I64)]
    [InlineData("IntStorage", StoredType.I32)]
    [InlineData("ShortStorage", StoredType.I16)]
    [InlineData("CharStorage", StoredType.I8)]
    [InlineData("ByteStorage", StoredType.U8)]
    [InlineData("BoolStorage", StoredType.Bool)]
    public void Every_type_of_storage_is_read(string name, StoredType type)
    {
        using var weights = Open(Pickle(Dictionary(("w", Tensor(Storage(name, "0", 32 / type.Size()), 0, [32 / type.Size()], [1])))));
        Assert.Equal((type, 32L), (weights.Tensors["w"].Type, weights.Tensors["w"].ByteLength));
    }

    [Fact]
    public void A_storage_without_a_type_takes_the_one_of_its_tensor()
    {
        byte[] storage = [.. Tuple(Text("storage"), Global("torch.storage", "UntypedStorage"), Text("0"), Text("cpu"), Number(32)), (byte)'Q'];
        byte[] Of(string type) =>
        [
            .. Global("torch._utils", "_rebuild_tensor_v3"),
            .. Tuple(storage, Number(4), Numbers(4), Numbers(1), [0x89], OrderedDict(), Global("torch", type)), (byte)'R',
        ];
        using var weights = Open(Pickle(Dictionary(("w", Of("float32")), ("h", Of("bfloat16")))));
        Assert.Equal([4f, 5, 6, 7], Floats(weights.Tensors["w"]));
        Assert.Equal(StoredType.BF16, weights.Tensors["h"].Type);
        Assert.Equal((nint)weights.Tensors["w"].Data - 8, (nint)weights.Tensors["h"].Data);
    }

    [Theory]
    [InlineData("state_dict")]
    [InlineData("model")]
    public void A_model_within_a_trainers_checkpoint_is_found_and_the_rest_left(string key)
    {
        using var weights = Open(Pickle(Dictionary(
            ("epoch", Number(3)), ("optimizer", Dictionary(("m", One()))), ("note", [(byte)'N']),
            (key, Dictionary(("w", One()), ("step", Number(1000)))))));
        Assert.Equal(["w"], weights.Tensors.Keys);
    }

    [Fact]
    public void A_parameter_is_the_tensor_it_holds()
    {
        using var weights = Open(Pickle(Dictionary(
            ("w", [.. Global("torch._utils", "_rebuild_parameter"), .. Tuple(One(), [0x88], OrderedDict()), (byte)'R']))));
        Assert.Equal(counting, Floats(weights.Tensors["w"]));
    }

    [Fact]
    public void What_newer_protocols_write_is_read()
    {
        byte[] shortText(string text) => [0x8c, (byte)text.Length, .. text.Select(c => (byte)c), 0x94];
        byte[] pickle =
        [
            0x80, 5, 0x95, 9, 0, 0, 0, 0, 0, 0, 0, (byte)'}', 0x94, .. shortText("w"), .. One(), (byte)'s',
            .. shortText("extra"), (byte)'(', .. Number(-1), (byte)'G', 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, (byte)'C', 1, 7, (byte)'l', (byte)'s',
            .. shortText("set"), 0x8f, (byte)'(', .. Number(1), 0x90, (byte)'s',
            .. shortText("again"), (byte)'h', 1, (byte)'0', .. shortText("dict"), .. shortText("collections"), .. shortText("OrderedDict"), 0x93, (byte)')', (byte)'R',
            .. Dictionary(("_metadata", OrderedDict())), (byte)'b', 0x86, (byte)'s', (byte)'.',
        ];
        using var weights = Open(pickle);
        Assert.Equal(["w"], weights.Tensors.Keys);
    }

    [Fact]
    public void An_ordered_dictionary_with_metadata_is_a_state_dict()
    {
        using var weights = Open(Pickle(OrderedDict(), [(byte)'(', .. Text("w"), .. One(), .. Text("w"), .. Tensor(Floats8, 4, [2], [1]), (byte)'u'],
            Dictionary(("_metadata", Dictionary(("", Dictionary(("version", Number(1))))))), "b"u8.ToArray()));
        Assert.Equal([4f, 5], Floats(weights.Tensors["w"]));
    }

    [Theory]
    [InlineData(64, true)]
    [InlineData(1, false)]
    public void Zips_of_large_files_and_of_other_writers_are_read(int alignment, bool zip64)
    {
        byte[] file = Zip([("data.pkl", Pickle(Dictionary(("w", One()), ("v", One())))), ("data/0x", []), ("data/0", Bytes(counting))], alignment, zip64);
        using var weights = WeightFiles.Open(folder.Write("m.pt", file));
        Assert.Equal(counting, Floats(weights.Tensors["w"]));
        Assert.Equal(0, (nint)weights.Tensors["w"].Data % 4);
        Assert.Equal((nint)weights.Tensors["w"].Data, (nint)weights.Tensors["v"].Data);
    }

    [Fact]
    public void A_zip_of_another_library_is_read_when_stored_and_refused_when_compressed()
    {
        Assert.Equal(counting, Floats(Save(CompressionLevel.NoCompression).Tensors["w"]));
        Assert.Contains("is compressed (method 8); PyTorch stores plain bytes", Assert.Throws<InvalidDataException>(() => Save(CompressionLevel.Optimal)).Message);

        WeightFiles Save(CompressionLevel level)
        {
            var memory = new MemoryStream();
            using (var zip = new ZipArchive(memory, ZipArchiveMode.Create))
                foreach (var (name, bytes) in new[] { ("a/data.pkl", Pickle(Dictionary(("w", One())))), ("a/data/0", Bytes(counting)) })
                    using (var entry = zip.CreateEntry(name, level).Open())
                        entry.Write(bytes);
            return WeightFiles.Open(folder.Write("m.pt", memory.ToArray()));
        }
    }

    [Fact]
    public void The_format_before_the_zip_is_read()
    {
        byte[] file = Legacy(
            Pickle(Dictionary(("w", Tensor(Storage("FloatStorage", "94", 8), 2, [2, 3], [3, 1])), ("n", Tensor(Storage("ByteStorage", "95", 3), 0, [3], [1])))),
            ("95", 3, [1, 2, 3]), ("94", 8, Bytes(counting)));
        using var weights = WeightFiles.Open(folder.Write("m.bin", file));
        Assert.Equal([2f, 3, 4, 5, 6, 7], Floats(weights.Tensors["w"]));
        Assert.Equal([1, 2, 3], new ReadOnlySpan<byte>(weights.Tensors["n"].Data, 3).ToArray());
        Assert.Equal("pytorch_model.bin: the file ends within storage 94; it is cut short, download it again.", Error(file[..^1]));
    }

    [Fact]
    public void Nothing_but_tensors_can_be_made()
    {
        Assert.Equal(
            "pytorch_model.bin: the file refers to os.system; only tensors are read, a checkpoint never runs code." + SaveAgain,
            Refusal([.. Global("os", "system"), .. Tuple(Text("echo")), (byte)'R']));
        Assert.Contains("refers to builtins.eval;", Refusal([.. Text("builtins"), .. Text("eval"), 0x93]));
        Assert.Contains("refers to torch._utils._rebuild_tensor_v2.__globals__;", Refusal([.. Text("torch._utils"), .. Text("_rebuild_tensor_v2.__globals__"), 0x93]));
        Assert.Contains("refers to os.sys tem;", Refusal([.. Text("os"), .. Text("sys\ntem"), 0x93]));
        Assert.Contains("uses instruction 0x81, which tensors do not need.", Refusal([.. Global("collections", "OrderedDict"), (byte)')', 0x81]));
        Assert.Contains("uses instruction 0x69,", Refusal("(ios\nsystem\n"u8.ToArray()));
        Assert.Contains("calls what is no function.", Refusal([.. Global("torch", "FloatStorage"), (byte)')', (byte)'R']));
        Assert.Contains("calls OrderedDict with arguments that do not fit.", Refusal([.. Global("collections", "OrderedDict"), .. Tuple([(byte)']']), (byte)'R']));
        Assert.Contains("calls a function with what is no tuple;", Refusal([.. Global("collections", "OrderedDict"), (byte)']', (byte)'R']));
        Assert.Contains("refers to something that is no storage", Refusal([.. Text("storage"), (byte)'Q']));
        Assert.Contains("needs a dictionary where there is none;", Refusal([.. One(), .. Dictionary(), (byte)'b']));
    }

    [Fact]
    public void A_tensor_never_reaches_out_of_its_storage()
    {
        Assert.Equal(
            "pytorch_model.bin: w begins at element 1 of storage 0 and, as [2, 4] with strides [4, 1], ends beyond the 8 that it has; download the file again.",
            OfTensor(Tensor(Floats8, 1, [2, 4], [4, 1])));
        Assert.Contains("ends beyond the 8 that it has", OfTensor(Tensor(Floats8, 0, [2, 2], [7, 2])));
        Assert.Contains("ends beyond the 8 that it has", OfTensor(Tensor(Floats8, 9, [0], [1])));
        Assert.Contains("ends beyond the 8 that it has", OfTensor(Tensor(Floats8, -1, [1], [1])));
        Assert.Contains("ends beyond the 8 that it has", OfTensor(Tensor(Floats8, long.MaxValue, [2], [1])));
        Assert.Contains("ends beyond the 8 that it has", OfTensor(Tensor(Floats8, 0, [2, 2], [long.MaxValue, long.MaxValue])));
        Assert.Contains("ends beyond the 4 that it has", OfTensor(Tensor(Storage("FloatStorage", "0", 4), 0, [8], [1])));
        Assert.Contains("size or stride that is no whole number from 0", OfTensor(Tensor(Floats8, 7, [2], [-1])));
        Assert.Contains("size or stride that is no whole number from 0", OfTensor(Tensor(Floats8, 0, [-2], [1])));
        Assert.Contains("has 2 sizes and 1 strides", OfTensor(Tensor(Floats8, 0, [2, 2], [1])));
        Assert.Contains("has 65 axes", OfTensor(Tensor(Floats8, 0, new long[65], new long[65])));
        Assert.Contains("is [1099511627776], more than the whole file could hold", OfTensor(Tensor(Floats8, 0, [1L << 40], [0])));
        Assert.Contains("more than the whole file could hold", OfTensor(Tensor(Floats8, 0, [1L << 40, 1L << 40], [0, 0])));
        Assert.Contains("is in storage 0 of 9 elements; the file has 32 bytes of it", OfTensor(Tensor(Storage("FloatStorage", "0", 9), 0, [1], [1])));
        Assert.Contains("is in storage 7, which the file does not have", OfTensor(Tensor(Storage("FloatStorage", "7", 8), 0, [1], [1])));
        Assert.Contains("no storage of numbers", OfTensor(Tensor(Storage("FloatStorage", "0", -1), 0, [1], [1])));
    }

    [Fact]
    public void Broken_pickles_are_refused()
    {
        Assert.Contains("uses more objects than it has made", Refusal([]));
        Assert.Contains("uses more objects than it has made", Refusal([(byte)'N', (byte)'(', (byte)'0', .. "0"u8, (byte)'0']));
        Assert.Contains("uses more objects than it has made", Refusal([(byte)'N', (byte)'(', 0x85]));
        Assert.Contains("ends a list that it has not begun", Refusal("t"u8.ToArray()));
        Assert.Contains("uses object 9 before it is there", Refusal([(byte)'h', 9]));
        Assert.Contains("is of protocol 6; 2 to 5 are read", Refusal([0x80, 6]));
        Assert.Contains("gives a dictionary a key without a value", Refusal("}(Nu"u8.ToArray()));
        Assert.Contains("needs a list where there is none", Refusal("NNa"u8.ToArray()));
        Assert.Contains("ends in the middle of a name", Refusal("cos"u8.ToArray()));
        Assert.Contains("2147483647 more are needed", Refusal([(byte)'X', 0xff, 0xff, 0xff, 0x7f]));
        Assert.Contains("18446744073709551615 more are needed", Refusal([0x8d, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
        Assert.Contains("holds no dictionary of tensors", Refusal("]"u8.ToArray()));
        Assert.Contains("holds no tensors, neither directly nor as state_dict or model", Refusal(Dictionary(("a", Dictionary(("w", One()))))));
    }

    [Fact]
    public void Broken_zips_are_refused()
    {
        byte[] good = PickleBytes.File(Pickle(Dictionary(("w", One()))), ("0", Bytes(counting)));
        byte[] pickle = Pickle(Dictionary(("w", One())));
        Assert.Contains("directory, which stands at the end, is missing", Error(good[..^1]));
        Assert.Contains("directory, which stands at the end, is missing", Error(good[..10]));
        Assert.Contains("points to byte", Error([.. good[..200], .. good[264..]]));
        Assert.Contains("the numbers are big-endian", Error(Zip([("a/data.pkl", pickle), ("a/byteorder", "big"u8.ToArray())])));
        Assert.Contains("the zip has 0 entries data.pkl", Error(Zip([("a/data/0", [])])));
        Assert.Contains("the zip has 2 entries data.pkl", Error(Zip([("a/data.pkl", pickle), ("b/data.pkl", pickle)])));
        Assert.Contains("a/data.pkl stands twice in the zip", Error(Zip([("a/data.pkl", pickle), ("a/data.pkl", pickle)])));
        Assert.Contains("a/data.pkl is compressed (method 8)", Error(Zip([("a/data.pkl", pickle)], method: 8)));
        Assert.Contains("a/data.pkl is encrypted", Error(Zip([("a/data.pkl", pickle)], flags: 1)));
        Assert.Contains("points to byte 18446744073709551615", Error([.. Patch(Zip([("a/data.pkl", pickle)], zip64: true), "PK\u0006\u0006"u8, 48)]));
        Assert.Contains("a/data.pkl has 18446744073709551615 bytes", Error([.. Patch(Zip([("a/data.pkl", pickle)], zip64: true), [1, 0, 24, 0], 4, 16)]));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Damaged_files_are_read_or_refused_and_never_read_beyond_their_end(bool legacy)
    {
        byte[] pickle = Pickle(OrderedDict(), [(byte)'(', .. Text("w"), .. Tensor(Floats8, 1, [3, 2], [1, 4]), .. Text("v"), .. One(), (byte)'u']);
        byte[] whole = legacy ? Legacy(pickle, ("0", 8, Bytes(counting))) : Zip([("a/data.pkl", pickle), ("a/data/0", Bytes(counting))], alignment: 4);
        Fuzz.Files(whole, seed: 2, rounds: 3000);
    }

    [Fact]
    public void Copies_for_alignment_are_no_larger_than_the_file()
    {
        byte[] file = Zip([("data.pkl", Pickle(Dictionary([.. Enumerable.Range(0, 200).Select(i => ($"w{i}", Tensor(Storage("FloatStorage", $"{i}", 8), 0, [8], [1])))]))),
            .. Enumerable.Range(0, 200).Select(i => ($"data/{i}", i == 0 ? [0, .. Bytes(counting)] : Bytes(counting)))], alignment: 1);
        using (var weights = WeightFiles.Open(folder.Write("m.bin", file))) Assert.Equal(200, weights.Tensors.Count);
        byte[] padded = Zip([("data.pkl", Pickle(Dictionary(("w", One()), ("d", Tensor(Storage("DoubleStorage", "0", 4), 0, [1], [1]))))), ("data/0", new byte[9999])], alignment: 1);
        Assert.Contains("overlap and claim more bytes than it has", Error(padded));
    }

    private static byte[] Floats8 => Storage("FloatStorage", "0", 8);

    private static byte[] One() => Tensor(Floats8, 0, [8], [1]);

    private static byte[] Bytes(float[] values) => MemoryMarshal.AsBytes(values.AsSpan()).ToArray();

    private static byte[] Patch(byte[] file, ReadOnlySpan<byte> after, int offset, int count = 8)
    {
        int at = file.AsSpan().LastIndexOf(after);
        file.AsSpan(at + offset, count).Fill(0xff);
        return file;
    }

    private static float[] Floats(StoredTensor tensor) => MemoryMarshal.Cast<byte, float>(Values(tensor)).ToArray();

    private static byte[] Values(StoredTensor tensor)
    {
        int size = tensor.Type.Size();
        byte[] values = new byte[tensor.Count * size];
        for (long i = 0; i < tensor.Count; i++)
        {
            long rest = i, at = 0;
            for (int axis = tensor.Shape.Count - 1; axis >= 0; axis--)
            {
                at += rest % tensor.Shape[axis] * tensor.Strides[axis];
                rest /= tensor.Shape[axis];
            }
            new ReadOnlySpan<byte>(tensor.Data + at * size, size).CopyTo(values.AsSpan((int)i * size));
        }
        return values;
    }

    private WeightFiles Open(byte[] pickle) => WeightFiles.Open(folder.Write("pytorch_model.bin", PickleBytes.File(pickle, ("0", Bytes(counting)))));

    private string Refusal(byte[] content) => Error(PickleBytes.File(Pickle(content), ("0", Bytes(counting))));

    private string OfTensor(byte[] tensor) => Refusal(Dictionary(("w", tensor)));

    private string Error(byte[] file)
    {
        string message = Assert.Throws<InvalidDataException>(() => WeightFiles.Open(folder.Write("pytorch_model.bin", file))).Message;
        Assert.DoesNotContain('\n', message);
        return message;
    }
}
