namespace ReadTwice;

/// <summary>Writes files whole or not at all: whoever opens one finds the old content or the new, never half of it.</summary>
public static class AtomicFile
{
    /// <summary>Writes a file, over the one that is there once the new one is on the disk.</summary>
    /// <param name="path">Where it goes; its folder must exist.</param>
    /// <param name="write">Writes the content. Where it throws, the old file stays.</param>
    /// <exception cref="IOException">The file cannot be written, for lack of space or otherwise; the message says where and why.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        // Beside the file, since a file can be renamed but not moved in one step to another disk.
        string temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        try
        {
            using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception failure)
        {
            Remove(temporary);
            if (failure is IOException or UnauthorizedAccessException)
                throw new IOException(
                    $"{path} could not be written: {failure.Message.Replace(temporary, path, StringComparison.Ordinal)}", failure);
            throw;
        }
    }

    // A disk that fails here as well must not hide why the write failed.
    private static void Remove(string temporary)
    {
        try
        {
            File.Delete(temporary);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
        }
    }
}
