using System.Diagnostics;
using System.Text.Json;
using ReadTwice.Synthetic;

namespace ReadTwice.Cli;

/// <summary>One model trained in a process of its own: two in one process could free numbers under each other's calls of libtorch.</summary>
internal static class DisjointnessProcess
{
    /// <summary>Runs a command line of this program that trains one model, and reads the run that it prints.</summary>
    /// <exception cref="InvalidDataException">It failed; the message is its own.</exception>
    public static async Task<DisjointnessRun> Run(IEnumerable<string> args, CancellationToken cancel)
    {
        // The program lies beside this code, whatever the process is that runs it; not everywhere as a file that can be started.
        string program = Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "jrt.exe" : "jrt");
        string[] command = File.Exists(program) ? [program] : ["dotnet", Path.Combine(AppContext.BaseDirectory, "jrt.dll")];
        var start = new ProcessStartInfo(command[0], [.. command.Skip(1), "synth", "set-disjointness", .. args]) { RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start) ?? throw new IOException($"{start.FileName} could not be started.");
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(cancel);
            var error = process.StandardError.ReadToEndAsync(cancel);
            await process.WaitForExitAsync(cancel);
            if (process.ExitCode != 0) throw new InvalidDataException($"A model could not be trained (exit code {process.ExitCode}): {(await error).Trim()}");
            return Terminal.ReadJson<DisjointnessRun>(await output);
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"The process that trains a model printed something else: {e.Message}", e);
        }
        finally
        {
            if (!process.HasExited) process.Kill();
        }
    }
}
