namespace ReadTwice.Hub;

/// <summary>Where models are fetched from and kept: what the hub's own tools are told by the environment.</summary>
/// <param name="Cache">The folder of the hub's cache.</param>
/// <param name="Endpoint">The hub's address, without a slash at the end.</param>
/// <param name="Token">Sent to the endpoint, and to no other host; null for none.</param>
/// <param name="Offline">Whether only the cache may be used.</param>
public sealed record HubSettings(string Cache, Uri Endpoint, string? Token = null, bool Offline = false)
{
    /// <summary>From HF_HUB_CACHE, HF_HOME, HF_ENDPOINT, HF_TOKEN (or the token file) and HF_HUB_OFFLINE.</summary>
    /// <exception cref="ArgumentException">HF_ENDPOINT is no address.</exception>
    public static HubSettings FromEnvironment() => From(Environment.GetEnvironmentVariable);

    internal static HubSettings From(Func<string, string?> variable)
    {
        string? Set(string name) => variable(name) is { Length: > 0 } value ? value : null;
        string home = Set("HF_HOME") ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache", "huggingface");
        string endpoint = (Set("HF_ENDPOINT") ?? "https://huggingface.co").TrimEnd('/');
        if (!Uri.TryCreate(endpoint, UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https"))
            throw new ArgumentException($"HF_ENDPOINT is \"{endpoint}\"; an address such as https://huggingface.co is needed.");
        string tokenFile = Path.Combine(home, "token");
        string? token = Set("HF_TOKEN") ?? (File.Exists(tokenFile) ? File.ReadAllText(tokenFile).Trim() : null);
        bool offline = Set("HF_HUB_OFFLINE")?.ToUpperInvariant() is "1" or "TRUE" or "YES" or "ON";
        return new(Set("HF_HUB_CACHE") ?? Path.Combine(home, "hub"), address, token is { Length: > 0 } ? token : null, offline);
    }
}
