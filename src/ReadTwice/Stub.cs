#pragma warning disable
namespace ReadTwice { 
}
namespace ReadTwice.Hub { public record HubSettings { public static HubSettings FromEnvironment() => new(); }
public class HubClient(HubSettings s) : IDisposable { public string? Resolve(string n) => null; public Task<string> Pull(string a, string b, IProgress<double> p, CancellationToken c) => throw new InvalidDataException("stub"); public void Dispose(){} } }
namespace ReadTwice.Documents { public static class DocumentText { public static string Load(string p) => File.ReadAllText(p); } }
