namespace ReadTwice.Tests;

/// <summary>Where data too large for the repository lies: READTWICE_SHARED, else ../shared beside the checkout.</summary>
public static class Shared
{
    private static readonly string root = Environment.GetEnvironmentVariable("READTWICE_SHARED") ?? Beside();

    /// <summary>A path below the shared folder; the test is skipped, saying so, where it is absent.</summary>
    public static string Path(params string[] parts)
    {
        string path = System.IO.Path.Combine([root, .. parts]);
        Assert.SkipUnless(System.IO.Path.Exists(path), $"{path} is absent; set READTWICE_SHARED to a folder that has it.");
        return path;
    }

    /// <summary>The same, without a skip: null where it is absent.</summary>
    public static string? Find(params string[] parts)
    {
        string path = System.IO.Path.Combine([root, .. parts]);
        return System.IO.Path.Exists(path) ? path : null;
    }

    private static string Beside()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(System.IO.Path.Combine(folder.FullName, "ReadTwice.slnx")))
                return System.IO.Path.GetFullPath(System.IO.Path.Combine(folder.FullName, "..", "shared"));
        return System.IO.Path.GetFullPath("../shared");
    }
}
