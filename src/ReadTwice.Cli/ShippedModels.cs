namespace ReadTwice.Cli;

/// <summary>The small models that come with the program, which serve where none is named.</summary>
internal static class ShippedModels
{
    private static string Folder => Path.Combine(AppContext.BaseDirectory, "models");

    /// <summary>The folders of all of them.</summary>
    public static IReadOnlyList<string> All => Directory.Exists(Folder)
        ? [.. Directory.GetDirectories(Folder).Order(StringComparer.Ordinal)]
        : throw new DirectoryNotFoundException($"{Folder} is missing, where the models that come with the program lie. Install it again, or name a --model.");

    /// <summary>The one that answers questions: the first that reads in both directions.</summary>
    public static string Reader => All.First(folder => Path.GetFileName(folder).EndsWith("-jrt", StringComparison.Ordinal));
}
