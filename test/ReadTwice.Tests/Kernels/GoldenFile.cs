using System.Runtime.InteropServices;
using System.Text.Json;

namespace ReadTwice.Tests.Kernels;

/// <summary>The float32 tensors of one small safetensors file, made by the authors' code.</summary>
internal sealed class GoldenFile
{
    private readonly byte[] bytes;
    private readonly JsonElement header;
    private readonly int data;

    public GoldenFile(string op)
    {
        bytes = File.ReadAllBytes(Shared.Path("golden", "ops", op + ".safetensors"));
        data = 8 + (int)BitConverter.ToInt64(bytes);
        header = JsonDocument.Parse(bytes.AsMemory(8, data - 8)).RootElement;
    }

    public float[] this[string name]
    {
        get
        {
            var tensor = header.GetProperty(name);
            Assert.Equal("F32", tensor.GetProperty("dtype").GetString());
            var offsets = tensor.GetProperty("data_offsets");
            return MemoryMarshal.Cast<byte, float>(
                bytes.AsSpan((data + offsets[0].GetInt32())..(data + offsets[1].GetInt32()))).ToArray();
        }
    }

    public int[] Shape(string name) => [.. header.GetProperty(name).GetProperty("shape").EnumerateArray().Select(size => size.GetInt32())];
}
