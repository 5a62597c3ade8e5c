using System.CommandLine;
using ReadTwice.Hub;

namespace ReadTwice.Cli;

/// <summary>jrt pull: downloads a model.</summary>
internal static class PullCommand
{
    public static Command Make(Terminal terminal)
    {
        var id = new Argument<string>("HUB-ID") { Description = "Name on the hub, such as state-spaces/mamba-130m." };
        var revision = new Option<string>("--revision") { Description = "Branch, tag or commit.", DefaultValueFactory = _ => "main" };
        var json = JsonOption.Make();
        var command = new Command("pull", "Downloads a model into the hub's own cache, going on where it was stopped. Honours HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE.") { id, revision, json };
        command.SetAction(async (parsed, cancel) =>
        {
            using var hub = new HubClient(HubSettings.FromEnvironment());
            string folder = await terminal.WithProgress(
                parsed.GetValue(id)!, progress => hub.Pull(parsed.GetValue(id)!, parsed.GetValue(revision)!, progress, cancel));
            if (parsed.GetValue(json)) terminal.WriteJson(new { model = parsed.GetValue(id), folder });
            else terminal.Out.WriteLine(folder);
            return 0;
        });
        return command;
    }
}
