#pragma warning disable
namespace ReadTwice { 
public class ByteTokenizer : Tokenizer {
 public override int VocabularySize => 257; public override int? EndOfText => 256; public override string Hash => new string('b', 64);
 public override IReadOnlyList<int> Encode(string text) => System.Text.Encoding.UTF8.GetBytes(text).Select(b => (int)b).ToArray();
 public override ReadOnlySpan<byte> Bytes(int id) => new byte[]{(byte)id};
 public override string Decode(IEnumerable<int> ids) => System.Text.Encoding.Latin1.GetString(ids.Select(i=>(byte)i).ToArray());
 public override StreamingDecoder NewStreamingDecoder() => new D();
 class D : StreamingDecoder { public override string Add(int id) => ((char)(byte)id).ToString(); public override string Finish() => ""; }
}
}
namespace ReadTwice.Hub { public record HubSettings { public static HubSettings FromEnvironment() => new(); }
public class HubClient(HubSettings s) : IDisposable { public string? Resolve(string n) => null; public Task<string> Pull(string a, string b, IProgress<double> p, CancellationToken c) => throw new InvalidDataException("stub"); public void Dispose(){} } }
namespace ReadTwice.Documents { public static class DocumentText { public static string Load(string p) => File.ReadAllText(p); } }
namespace ReadTwice.Native { internal static unsafe partial class TensorMemory { public static ReadTwice.Checkpoints.TensorToWrite ToWrite(string n, TorchSharp.torch.Tensor t) => new(n, TypeOf(t.dtype), t.shape, (o, l) => new ReadOnlySpan<byte>((byte*)Data(t.Handle) + o, l)); } }
