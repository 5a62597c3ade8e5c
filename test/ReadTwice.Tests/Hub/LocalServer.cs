using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace ReadTwice.Tests.Hub;

/// <summary>A web server on this machine, which notes what it was asked.</summary>
internal sealed class LocalServer : IDisposable
{
    private readonly HttpListener listener = new();

    public LocalServer()
    {
        using (var probe = new TcpListener(IPAddress.Loopback, 0))
        {
            probe.Start();
            Address = new($"http://127.0.0.1:{((IPEndPoint)probe.LocalEndpoint).Port}");
        }
        listener.Prefixes.Add(Address + "");
        listener.Start();
        _ = Task.Run(Serve);
    }

    public sealed record Request(string Path, string? Authorization, string? Range);

    public Uri Address { get; }

    public ConcurrentQueue<Request> Requests { get; } = [];

    public Action<HttpListenerContext> Answer { get; set; } = context => context.Response.Close();

    public void Dispose() => listener.Close();

    private async Task Serve()
    {
        while (listener.IsListening)
        {
            try
            {
                var context = await listener.GetContextAsync();
                Requests.Enqueue(new(context.Request.Url!.AbsolutePath, context.Request.Headers["Authorization"], context.Request.Headers["Range"]));
                Answer(context);
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException or IOException)
            {
                // The client went away, or the test is over.
            }
        }
    }
}
