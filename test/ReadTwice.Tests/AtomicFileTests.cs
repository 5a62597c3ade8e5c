using ReadTwice.Tests.Checkpoints;

namespace ReadTwice.Tests;

public sealed class AtomicFileTests : IDisposable
{
    private readonly TempFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void A_file_is_written_and_written_over()
    {
        string path = Path.Combine(folder.Path, "a.state");
        AtomicFile.Write(path, stream => stream.Write("one, long"u8));
        Assert.Equal("one, long", File.ReadAllText(path));
        AtomicFile.Write(path, stream => stream.Write("two"u8));
        Assert.Equal("two", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void The_old_file_is_there_until_the_new_one_is_whole()
    {
        string path = folder.Write("a.state", "old");
        AtomicFile.Write(path, stream =>
        {
            stream.Write("new"u8);
            stream.Flush();
            Assert.Equal("old", File.ReadAllText(path));
        });
        Assert.Equal("new", File.ReadAllText(path));
    }

    [Fact]
    public void A_write_that_fails_leaves_the_old_file_and_nothing_else()
    {
        string path = folder.Write("a.state", "old");
        var failure = Assert.Throws<IOException>(() => AtomicFile.Write(path, stream =>
        {
            stream.Write("half"u8);
            stream.Flush();
            throw new IOException("No space left on device.");
        }));
        Assert.Equal($"{path} could not be written: No space left on device.", failure.Message);
        Assert.Throws<ArgumentException>(() => AtomicFile.Write(path, _ => throw new ArgumentException("not a matter of files")));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void A_place_that_cannot_be_written_is_named()
    {
        string absent = Path.Combine(folder.Path, "absent", "a.state");
        string message = Assert.Throws<IOException>(() => AtomicFile.Write(absent, _ => { })).Message;
        Assert.StartsWith($"{absent} could not be written: ", message);
        Assert.DoesNotContain(".tmp", message);
        string taken = Path.Combine(folder.Path, "taken");
        Directory.CreateDirectory(taken);
        Assert.StartsWith($"{taken} could not be written: ", Assert.Throws<IOException>(() => AtomicFile.Write(taken, _ => { })).Message);
        Assert.Empty(Directory.GetFiles(folder.Path));
    }
}
