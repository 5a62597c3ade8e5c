using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using ReadTwice.Hub;

namespace ReadTwice.Tests.Hub;

public sealed class HubClientTests : IDisposable
{
    private const string Commit = "0123456789abcdef0123456789abcdef01234567";

    private readonly TemporaryFolder folder = new();
    private readonly LocalServer hub = new();
    private readonly byte[] config = Encoding.UTF8.GetBytes("{ \"model_type\": \"mamba\" }");
    private readonly byte[] weights = RandomNumberGenerator.GetBytes(300_000);

    public HubClientTests()
    {
        hub.Answer = Answer;
    }

    public void Dispose()
    {
        hub.Dispose();
        folder.Dispose();
    }

    private HubClient Client(string? token = null, bool offline = false) =>
        new(new(folder.File("hub"), hub.Address, token, offline), TimeSpan.FromMilliseconds(1));

    private Func<HttpListenerContext, bool>? Special { get; set; }

    private string[] extra = [];

    private void Answer(HttpListenerContext context)
    {
        if (Special?.Invoke(context) == true) return;
        string path = context.Request.Url!.AbsolutePath;
        if (path == "/api/models/owner/name/revision/main") Send(context, Encoding.UTF8.GetBytes(JsonSerializer.Serialize(new
        {
            sha = Commit,
            siblings = new object[]
            {
                new { rfilename = "config.json", size = config.Length, blobId = Convert.ToHexStringLower(SHA1.HashData([.. Encoding.ASCII.GetBytes($"blob {config.Length}\0"), .. config])) },
                new { rfilename = "model.safetensors", size = weights.Length, lfs = new { sha256 = Convert.ToHexStringLower(SHA256.HashData(weights)) } },
                new { rfilename = "pytorch_model.bin", size = 5, blobId = (string?)null },
                new { rfilename = "picture.png", size = 5, blobId = (string?)null },
            }.Concat(extra.Select(name => (object)new { rfilename = name, size = 1 })),
        })));
        else if (path == $"/owner/name/resolve/{Commit}/config.json") Send(context, config);
        else if (path == $"/owner/name/resolve/{Commit}/model.safetensors") Send(context, weights);
        else Refuse(context, 404);
    }

    private static void Send(HttpListenerContext context, byte[] body)
    {
        long start = context.Request.Headers["Range"] is { } range ? long.Parse(range["bytes=".Length..^1]) : 0;
        context.Response.StatusCode = start > 0 ? 206 : 200;
        context.Response.ContentLength64 = body.Length - start;
        context.Response.OutputStream.Write(body.AsSpan((int)start));
        context.Response.Close();
    }

    private static void Refuse(HttpListenerContext context, int code)
    {
        context.Response.StatusCode = code;
        context.Response.Close();
    }

    [Fact]
    public async Task A_model_is_pulled_into_the_layout_of_the_hubs_cache()
    {
        using var client = Client();
        string snapshot = await client.Pull("owner/name", cancel: TestContext.Current.CancellationToken);
        Assert.Equal(Path.Combine(folder.File("hub"), "models--owner--name", "snapshots", Commit), snapshot);
        Assert.Equal(["config.json", "model.safetensors"], Directory.GetFiles(snapshot).Select(path => Path.GetFileName(path)).Order());
        Assert.Equal(weights, await File.ReadAllBytesAsync(Path.Combine(snapshot, "model.safetensors"), TestContext.Current.CancellationToken));
        string blob = Path.Combine("..", "..", "blobs", Convert.ToHexStringLower(SHA256.HashData(weights)));
        Assert.Equal(blob, new FileInfo(Path.Combine(snapshot, "model.safetensors")).LinkTarget);
        Assert.Equal(Commit, await File.ReadAllTextAsync(Path.Combine(folder.File("hub"), "models--owner--name", "refs", "main"), TestContext.Current.CancellationToken));
        Assert.Equal(snapshot, client.Resolve("owner/name"));
        Assert.Null(client.Resolve("owner/other"));

        using var offline = Client(offline: true);
        Assert.Equal(snapshot, await offline.Pull("owner/name", cancel: TestContext.Current.CancellationToken));
        await Assert.ThrowsAsync<DirectoryNotFoundException>(() => offline.Pull("owner/other"));
    }

    [Fact]
    public async Task What_is_there_is_not_fetched_again()
    {
        using var client = Client();
        await client.Pull("owner/name", cancel: TestContext.Current.CancellationToken);
        int before = hub.Requests.Count;
        await client.Pull("owner/name", cancel: TestContext.Current.CancellationToken);
        Assert.Equal(before + 1, hub.Requests.Count);   // the list alone
    }

    [Fact]
    public async Task A_download_that_was_cut_goes_on_where_it_was()
    {
        const int Cut = 100_000;
        bool cut = false;
        Special = context =>
        {
            if (cut || !context.Request.Url!.AbsolutePath.EndsWith("safetensors", StringComparison.Ordinal)) return false;
            cut = true;
            context.Response.ContentLength64 = weights.Length;
            context.Response.OutputStream.Write(weights.AsSpan(0, Cut));
            context.Response.OutputStream.Flush();
            Thread.Sleep(50);
            context.Response.Abort();
            return true;
        };
        using var client = Client();
        string snapshot = await client.Pull("owner/name", cancel: TestContext.Current.CancellationToken);
        Assert.Equal(weights, await File.ReadAllBytesAsync(Path.Combine(snapshot, "model.safetensors"), TestContext.Current.CancellationToken));
        Assert.Contains(hub.Requests, request => request.Range is { } range && range != "bytes=0-");
    }

    [Fact]
    public async Task What_is_not_what_the_hub_lists_is_refused_and_removed()
    {
        Special = context =>
        {
            if (!context.Request.Url!.AbsolutePath.EndsWith("safetensors", StringComparison.Ordinal)) return false;
            Send(context, new byte[weights.Length]);
            return true;
        };
        using var client = Client();
        Assert.Contains("model.safetensors: the hash", (await Assert.ThrowsAsync<InvalidDataException>(() => client.Pull("owner/name"))).Message);
        Assert.DoesNotContain(Directory.GetFiles(folder.Path, "*", SearchOption.AllDirectories), path => path.EndsWith("incomplete", StringComparison.Ordinal));
        Assert.Null(client.Resolve("owner/name"));
    }

    [Fact]
    public async Task A_redirect_to_another_host_does_not_carry_the_token()
    {
        using var store = new LocalServer();
        store.Answer = context => Send(context, weights);
        Special = context =>
        {
            if (!context.Request.Url!.AbsolutePath.EndsWith("safetensors", StringComparison.Ordinal)) return false;
            context.Response.Redirect(new Uri(store.Address, "/stored").ToString());
            context.Response.Close();
            return true;
        };
        using var client = Client(token: "secret");
        await client.Pull("owner/name", cancel: TestContext.Current.CancellationToken);
        Assert.All(hub.Requests, request => Assert.Equal("Bearer secret", request.Authorization));
        Assert.Null(Assert.Single(store.Requests).Authorization);
    }

    [Theory]
    [InlineData(401, "HF_TOKEN"), InlineData(403, "HF_TOKEN"), InlineData(404, "Check the name"), InlineData(503, "Try again later")]
    public async Task A_refusal_says_what_to_do(int code, string says)
    {
        Special = context =>
        {
            Refuse(context, code);
            return true;
        };
        using var client = Client();
        Assert.Contains(says, (await Assert.ThrowsAsync<HttpRequestException>(() => client.Pull("owner/name"))).Message);
        Assert.Equal(code == 503 ? 4 : 1, hub.Requests.Count);
    }

    [Theory]
    [InlineData("../evil.json"), InlineData("/etc/evil.json"), InlineData("a/../../evil.json"), InlineData("a\\evil.json")]
    public async Task A_file_outside_the_models_folder_is_refused(string name)
    {
        extra = [name];
        using var client = Client();
        Assert.Contains("outside", (await Assert.ThrowsAsync<InvalidDataException>(() => client.Pull("owner/name"))).Message);
        Assert.Single(hub.Requests);
    }

    [Theory]
    [InlineData("../x"), InlineData("a/b/c"), InlineData(""), InlineData("a b/c")]
    public async Task A_name_that_is_none_is_refused(string id)
    {
        using var client = Client();
        await Assert.ThrowsAsync<ArgumentException>(() => client.Pull(id));
        Assert.Empty(hub.Requests);
    }

    [Fact]
    public void The_environment_is_honoured()
    {
        var set = new Dictionary<string, string> { ["HF_HOME"] = folder.Path, ["HF_ENDPOINT"] = "http://mirror.example/", ["HF_HUB_OFFLINE"] = "1" };
        File.WriteAllText(folder.File("token"), "from-file\n");
        var settings = HubSettings.From(name => set.GetValueOrDefault(name));
        Assert.Equal(new(folder.File("hub"), new("http://mirror.example"), "from-file", true), settings);
        set["HF_TOKEN"] = "from-variable";
        set["HF_HUB_CACHE"] = "/elsewhere";
        Assert.Equal(("from-variable", "/elsewhere"), (HubSettings.From(name => set.GetValueOrDefault(name)).Token, HubSettings.From(name => set.GetValueOrDefault(name)).Cache));
        set["HF_ENDPOINT"] = "mirror";
        Assert.Contains("HF_ENDPOINT", Assert.Throws<ArgumentException>(() => HubSettings.From(name => set.GetValueOrDefault(name))).Message);
    }
}
