using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace ReadTwice.Hub;

/// <summary>Downloads models into the hub's own cache, and finds those that are there.</summary>
/// <remarks>
/// The cache is laid as the hub's tools lay it: blobs by hash, a folder of links for each commit, and the commit of each branch.
/// A file that stops half-way goes on where it was; nothing takes its place in the cache before its size and hash are seen to be right.
/// </remarks>
public sealed partial class HubClient : IDisposable
{
    private const int Attempts = 4;
    private readonly HubSettings settings;
    private readonly HttpClient http;
    private readonly TimeSpan firstPause;

    /// <summary>A client for one hub and cache.</summary>
    public HubClient(HubSettings settings) : this(settings, TimeSpan.FromSeconds(1))
    {
    }

    internal HubClient(HubSettings settings, TimeSpan firstPause)
    {
        (this.settings, this.firstPause) = (settings, firstPause);
        // Redirects are followed by hand: the token must not go with them to another host.
        http = new(new SocketsHttpHandler { AllowAutoRedirect = false, ConnectTimeout = TimeSpan.FromSeconds(30) }) { Timeout = Timeout.InfiniteTimeSpan };
        http.DefaultRequestHeaders.UserAgent.ParseAdd("readtwice");
    }

    /// <summary>The folder of a model: itself where it is one, or the newest snapshot of a hub id in the cache; null where there is neither.</summary>
    public string? Resolve(string folderOrId, string revision = "main")
    {
        if (Directory.Exists(folderOrId)) return folderOrId;
        if (!HubId().IsMatch(folderOrId)) return null;
        string reference = Path.Combine(ModelFolder(folderOrId), "refs", revision);
        string commit = File.Exists(reference) ? File.ReadAllText(reference).Trim() : revision;
        string snapshot = Path.Combine(ModelFolder(folderOrId), "snapshots", commit);
        return Directory.Exists(snapshot) ? snapshot : null;
    }

    /// <summary>Downloads what loading a model needs.</summary>
    /// <param name="id">Name on the hub: owner/name.</param>
    /// <param name="revision">Branch, tag or commit.</param>
    /// <param name="progress">Told the part that is there, from 0 to 1.</param>
    /// <param name="cancel">Stops the download; what has arrived is kept for the next time.</param>
    /// <returns>The snapshot's folder.</returns>
    /// <exception cref="HttpRequestException">The hub cannot be reached or refuses; the message says what to do.</exception>
    /// <exception cref="InvalidDataException">What arrived is not what the hub lists.</exception>
    public async Task<string> Pull(string id, string revision = "main", IProgress<double>? progress = null, CancellationToken cancel = default)
    {
        if (!HubId().IsMatch(id)) throw new ArgumentException($"\"{id}\" is no name on the hub; owner/name is needed, such as state-spaces/mamba-130m.");
        if (revision.Split('/').Any(part => part is "" or "." or "..")) throw new ArgumentException($"\"{revision}\" is no branch, tag or commit.");
        if (settings.Offline)
            return Resolve(id, revision) ?? throw new DirectoryNotFoundException($"{id} ({revision}) is not in {settings.Cache}, and HF_HUB_OFFLINE is set. Unset it to download.");

        var (commit, all) = await List(id, revision, cancel);
        var files = HubFile.Needed(all);
        if (files.Count == 0) throw new InvalidDataException($"{id} has no config, tokenizer or weights to load.");
        string folder = ModelFolder(id), snapshot = Path.Combine(folder, "snapshots", commit);
        double total = Math.Max(1, files.Sum(file => (double)(file.Size ?? 0))), done = 0;
        foreach (var file in files)
        {
            string link = Path.Combine(snapshot, file.Path);
            if (!File.Exists(link)) await Fetch(id, commit, file, folder, link, part => progress?.Report(Math.Min(1, (done + part) / total)), cancel);
            done += file.Size ?? 0;
            progress?.Report(Math.Min(1, done / total));
        }
        AtomicFile.Write(Made(Path.Combine(folder, "refs", revision)), stream => stream.Write(System.Text.Encoding.ASCII.GetBytes(commit)));
        return snapshot;
    }

    /// <inheritdoc/>
    public void Dispose() => http.Dispose();

    private string ModelFolder(string id) => Path.Combine(settings.Cache, "models--" + id.Replace("/", "--", StringComparison.Ordinal));

    private async Task<(string Commit, IReadOnlyList<HubFile> Files)> List(string id, string revision, CancellationToken cancel)
    {
        string name = $"{id} ({revision})";
        using var response = await Send(new Uri($"{settings.Endpoint.ToString().TrimEnd('/')}/api/models/{id}/revision/{Uri.EscapeDataString(revision)}?blobs=true"), name, 0, cancel);
        try
        {
            using var json = JsonDocument.Parse(await response.Content.ReadAsStringAsync(cancel));
            string commit = json.RootElement.GetProperty("sha").GetString() ?? "";
            if (!Commit().IsMatch(commit)) throw new InvalidDataException($"{name}: the hub's answer names no commit.");
            var files = json.RootElement.GetProperty("siblings").EnumerateArray().Select(File).ToList();
            if (files.FirstOrDefault(file => !file.IsInside) is { } outside)
                throw new InvalidDataException($"{name}: the hub lists \"{outside.Path}\", which lies outside the model's folder. Nothing was downloaded.");
            return (commit, files);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new InvalidDataException($"{name}: the hub's answer is no list of files. Is HF_ENDPOINT ({settings.Endpoint}) a hub?", e);
        }

        static HubFile File(JsonElement sibling)
        {
            bool large = sibling.TryGetProperty("lfs", out var lfs) && lfs.ValueKind == JsonValueKind.Object;
            string? hash = large && lfs.TryGetProperty("sha256", out var sha256) ? sha256.GetString()
                : sibling.TryGetProperty("blobId", out var blob) ? blob.GetString() : null;
            long? size = sibling.TryGetProperty("size", out var bytes) && bytes.TryGetInt64(out long count) ? count : null;
            return new(sibling.GetProperty("rfilename").GetString() ?? "", size, hash);
        }
    }

    private async Task Fetch(string id, string commit, HubFile file, string folder, string link, Action<long> report, CancellationToken cancel)
    {
        // Where the hub names no hash, the path within the commit is as good a name.
        string blob = Made(Path.Combine(folder, "blobs", file.Hash is { } hash && Hexadecimal().IsMatch(hash) ? hash : $"{commit}-{file.Path}"));
        if (!File.Exists(blob))
        {
            string incomplete = blob + ".incomplete";
            var address = new Uri($"{settings.Endpoint.ToString().TrimEnd('/')}/{id}/resolve/{commit}/{Uri.EscapeDataString(file.Path)}");
            // One at a time writes to it; another process that pulls the same file is told.
            await using (var stream = Open(incomplete, file.Path))
                await Download(address, file, stream, report, cancel);
            try
            {
                file.Require(incomplete);
            }
            catch (InvalidDataException)
            {
                File.Delete(incomplete);
                throw;
            }
            File.Move(incomplete, blob, overwrite: true);
        }
        Link(Made(link), blob);
    }

    private static FileStream Open(string incomplete, string name)
    {
        try
        {
            return new(incomplete, FileMode.OpenOrCreate, FileAccess.Write, FileShare.None);
        }
        catch (IOException e) when (File.Exists(incomplete))
        {
            throw new IOException($"{name} is being downloaded by another process ({incomplete}). Wait for it, or try again.", e);
        }
    }

    private async Task Download(Uri address, HubFile file, FileStream stream, Action<long> report, CancellationToken cancel)
    {
        for (int attempt = 1; ; attempt++)
        {
            long start = stream.Length;
            if (file.Size is { } size && start >= size && start > 0) return;   // whole, or too long: the check that follows says which
            try
            {
                using var response = await Send(address, file.Path, start, cancel);
                if (response.StatusCode != HttpStatusCode.PartialContent) stream.SetLength(0);
                stream.Seek(0, SeekOrigin.End);
                await using var content = await response.Content.ReadAsStreamAsync(cancel);
                var buffer = new byte[1 << 17];
                for (int read; (read = await content.ReadAsync(buffer, cancel)) > 0;)
                {
                    await stream.WriteAsync(buffer.AsMemory(0, read), cancel);
                    report(stream.Length);
                }
                await stream.FlushAsync(cancel);
                if (file.Size is null || stream.Length >= file.Size) return;
                throw new HttpRequestException($"{file.Path}: the connection ended after {stream.Length} of {file.Size} bytes.");
            }
            catch (Exception e) when (e is HttpRequestException { StatusCode: null } or IOException && attempt < Attempts && !cancel.IsCancellationRequested)
            {
                await Task.Delay(firstPause * Math.Pow(2, attempt - 1), cancel);
            }
        }
    }

    // Follows redirects, tries again what may pass, and turns refusals into one line.
    private async Task<HttpResponseMessage> Send(Uri address, string name, long start, CancellationToken cancel)
    {
        const int MostRedirects = 10;
        for (int attempt = 1, redirects = 0; ;)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, address);
            if (settings.Token is not null && Uri.Compare(address, settings.Endpoint, UriComponents.SchemeAndServer, UriFormat.Unescaped, StringComparison.OrdinalIgnoreCase) == 0)
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", settings.Token);
            if (start > 0) request.Headers.Range = new(start, null);
            HttpResponseMessage response;
            try
            {
                response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel);
            }
            catch (HttpRequestException) when (attempt < Attempts)
            {
                await Task.Delay(firstPause * Math.Pow(2, attempt++ - 1), cancel);
                continue;
            }
            catch (HttpRequestException e)
            {
                throw new HttpRequestException($"{name}: {address.Host} cannot be reached ({e.Message}). Check the network, or set HF_HUB_OFFLINE=1 to use what was pulled.", e);
            }
            if (response.StatusCode is HttpStatusCode.OK or HttpStatusCode.PartialContent) return response;
            using (response)
            {
                int code = (int)response.StatusCode;
                if (code is 301 or 302 or 303 or 307 or 308 && response.Headers.Location is { } location && redirects++ < MostRedirects)
                {
                    address = location.IsAbsoluteUri ? location : new Uri(address, location);
                    continue;
                }
                if ((code >= 500 || code == 429) && attempt < Attempts)
                {
                    await Task.Delay(firstPause * Math.Pow(2, attempt++ - 1), cancel);
                    continue;
                }
                throw new HttpRequestException(code switch
                {
                    401 or 403 => $"{name}: the hub refuses ({code}): the model is private or gated, or does not exist. Accept its terms on the hub and set HF_TOKEN.",
                    404 => $"{name}: the hub has no such model, revision or file. Check the name.",
                    _ => $"{name}: the hub answers {code} {response.ReasonPhrase}. Try again later.",
                }, null, response.StatusCode);
            }
        }
    }

    private static void Link(string link, string blob)
    {
        try
        {
            File.CreateSymbolicLink(link, Path.GetRelativePath(Path.GetDirectoryName(link)!, blob));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException && !File.Exists(link))
        {
            File.Copy(blob, link);   // a system, or a user, without links
        }
    }

    private static string Made(string path)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        return path;
    }

    [GeneratedRegex(@"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")]
    private static partial Regex HubId();

    [GeneratedRegex("^[0-9a-fA-F]{40}$")]
    private static partial Regex Commit();

    [GeneratedRegex("^[0-9a-fA-F]{40,64}$")]
    private static partial Regex Hexadecimal();
}
