using System.Buffers.Binary;
using System.Text;
using ReadTwice.Checkpoints;

namespace ReadTwice.Tests.Checkpoints;

public sealed class WeightFilesTests : IDisposable
{
    private readonly TempFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Shards_are_one_set_of_tensors()
    {
        folder.Write("a.safetensors", Holding("w", "v"));
        folder.Write("b.safetensors", Holding("u"));
        folder.Write("model.safetensors", Holding("other"));
        folder.Write("model.safetensors.index.json", """{"metadata":{},"weight_map":{"w":"a.safetensors","v":"a.safetensors","u":"b.safetensors"}}""");
        using var weights = WeightFiles.Open(folder.Path);
        Assert.Equal(["u", "v", "w"], weights.Tensors.Keys.Order());
        Assert.Equal("b.safetensors", weights.Tensors["u"].File);
        Assert.Equal([Path.Combine(folder.Path, "a.safetensors"), Path.Combine(folder.Path, "b.safetensors")], weights.Files);
    }

    [Fact]
    public void Of_a_tensor_in_two_shards_the_index_says_which_counts()
    {
        folder.Write("a.safetensors", Holding("w", "v"));
        folder.Write("b.safetensors", Holding("w", "u"));
        folder.Write("model.safetensors.index.json", """{"weight_map":{"w":"b.safetensors","v":"a.safetensors"}}""");
        using (var weights = WeightFiles.Open(folder.Path)) Assert.Equal("b.safetensors", weights.Tensors["w"].File);
        folder.Write("model.safetensors.index.json", """{"weight_map":{"u":"b.safetensors","v":"a.safetensors"}}""");
        Assert.Equal("b.safetensors: w is in a.safetensors too, and model.safetensors.index.json does not say which counts.", Error(folder.Path));
    }

    [Theory]
    [InlineData("""{"weight_map":{"w":"a.safetensors","x":"a.safetensors"}}""", "x is said to be in a.safetensors, which does not hold it")]
    [InlineData("""{"weight_map":{"w":"c.safetensors"}}""", "weight_map names c.safetensors, which is not in ")]
    [InlineData("""{"weight_map":{"w":"../a.safetensors"}}""", "weight_map names the file \"../a.safetensors\"; a file beside it is needed")]
    [InlineData("""{"weight_map":{"w":"/etc/passwd"}}""", "weight_map names the file \"/etc/passwd\"; a file beside it is needed")]
    [InlineData("""{"weight_map":{"w":"..\\a"}}""", "weight_map names the file \"..\\a\"; a file beside it is needed")]
    [InlineData("""{"weight_map":{"w":".."}}""", "weight_map names the file \"..\"; a file beside it is needed")]
    [InlineData("""{"weight_map":{"w":""}}""", "weight_map names the file \"\"; a file beside it is needed")]
    [InlineData("""{"weight_map":{"w":"a\u0000"}}""", "weight_map names the file \"a \"; a file beside it is needed")]
    [InlineData("""{"weight_map":{"w":1}}""", "weight_map.w is 1; a text is needed.")]
    [InlineData("""{"weight_map":{}}""", "weight_map names no tensors")]
    [InlineData("""{}""", "weight_map is missing")]
    [InlineData("""{"weight_map":{"w":"model.safetensors.index.json"}}""", null)]
    public void An_index_that_does_not_fit_its_folder_is_refused(string index, string? message)
    {
        folder.Write("a.safetensors", Holding("w"));
        folder.Write("model.safetensors.index.json", index);
        Assert.StartsWith($"model.safetensors.index.json: {message}", Error(folder.Path));
    }

    [Fact]
    public void The_usual_names_come_in_their_order_and_then_the_only_file()
    {
        folder.Write("optimizer.pt", "");
        folder.Write("training_args.bin", "");
        folder.Write("rng_state_0.pth", "");
        folder.Write("expected.safetensors", "");
        Assert.Contains("holds no weights; model.safetensors.index.json, ", Error(folder.Path));
        foreach (string name in new[] { "rwkv.pth", "pytorch_model.bin", "model.safetensors" })
        {
            folder.Write(name, Holding(name));
            using var weights = WeightFiles.Open(folder.Path);
            Assert.Equal([name], weights.Tensors.Keys);
        }
        folder.Write("pytorch_model.bin.index.json", """{"weight_map":{"rwkv.pth":"rwkv.pth"}}""");
        using (var weights = WeightFiles.Open(folder.Path)) Assert.Equal(["model.safetensors"], weights.Tensors.Keys);
        File.Delete(Path.Combine(folder.Path, "model.safetensors"));
        using (var weights = WeightFiles.Open(folder.Path)) Assert.Equal(["rwkv.pth"], weights.Tensors.Keys);
    }

    [Fact]
    public void Several_files_of_unusual_names_are_named()
    {
        folder.Write("b.pt", Holding("w"));
        folder.Write("a.safetensors", Holding("w"));
        Assert.EndsWith(" holds several weight files: a.safetensors, b.pt. Name the one to open.", Error(folder.Path));
        using var weights = WeightFiles.Open(Path.Combine(folder.Path, "b.pt"));
        Assert.Single(weights.Tensors);
    }

    [Theory]
    [InlineData("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "the file is only a pointer that git left")]
    [InlineData("<!DOCTYPE html><html>", "the file is a web page, not weights")]
    [InlineData("\n <html></html>", "the file is a web page, not weights")]
    [InlineData("GGUF\u0003\0\0\0", "the file is GGUF;")]
    [InlineData("Entry not found", "the file begins with the bytes 456E747279206E6F, as neither safetensors nor a file of torch.save does")]
    [InlineData("\u0080\u0004\u0095\0\0\0\0\0}.", "the file begins with the bytes C28004")]
    public void What_is_no_weights_is_called_by_its_name(string content, string message) =>
        Assert.StartsWith($"model.safetensors: {message}", Error(folder.Write("model.safetensors", content)));

    [Fact]
    public void A_pickle_of_anything_is_not_run() =>
        Assert.StartsWith("a.bin: the file is a pickle, but not of torch.save;", Error(folder.Write("a.bin", [0x80, 4, .. "cos\nsystem\n"u8])));

    [Fact]
    public void A_header_that_begins_like_a_web_page_is_still_a_header()
    {
        byte[] file = Holding("a");
        Assert.Equal((byte)'@', file[0]);
        using var weights = WeightFiles.Open(folder.Write("model.safetensors", [(byte)'<', .. file[1..68], .. file[72..]]));
        Assert.Single(weights.Tensors);
    }

    [Fact]
    public void What_does_not_exist_is_said_not_to() =>
        Assert.StartsWith("nowhere does not exist;", Assert.Throws<FileNotFoundException>(() => WeightFiles.Open("nowhere")).Message);

    [Fact]
    public void Every_golden_folder_opens()
    {
        string[] folders = [.. Directory.GetFiles(Shared.Path("golden"), "input_ids.json", SearchOption.AllDirectories).Select(path => Path.GetDirectoryName(path)!)];
        Assert.NotEmpty(folders);
        foreach (string path in folders)
        {
            using var weights = WeightFiles.Open(path);
            Assert.NotEmpty(weights.Tensors);
            Assert.All(weights.Tensors.Values, Fuzz.Touch);
        }
        using var sharded = WeightFiles.Open(Shared.Path("golden", "llama", "tiny-c-bf16-sharded"));
        Assert.Equal(2, sharded.Files.Count);
        Assert.All(sharded.Tensors.Values, tensor => Assert.Equal(StoredType.BF16, tensor.Type));
    }

    private static byte[] Holding(params string[] names)
    {
        string entries = string.Join(",", names.Select((name, i) => $$"""{{'"'}}{{name}}":{"dtype":"U8","shape":[1],"data_offsets":[{{i}},{{i + 1}}]}"""));
        byte[] json = Encoding.UTF8.GetBytes($"{{{entries}}}".PadRight(64)), length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, json.Length);
        return [.. length, .. json, .. new byte[names.Length]];
    }

    private static string Error(string path)
    {
        string message = Assert.Throws<InvalidDataException>(() => WeightFiles.Open(path)).Message;
        Assert.DoesNotContain('\n', message);
        return message;
    }
}
