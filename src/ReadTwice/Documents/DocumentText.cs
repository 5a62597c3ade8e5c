using System.Text;

namespace ReadTwice.Documents;

/// <summary>The text of a document: plain text, Markdown, HTML or PDF.</summary>
/// <remarks>
/// Lines end in \n. A document without any text in it is refused, as are bytes that are none of the kinds; every message is one line that
/// begins with the document's name. The whole document is held in memory, its text and its bytes, and nothing more that grows with it but for PDF.
/// </remarks>
public static class DocumentText
{
    /// <summary>The largest document taken, in bytes: its characters must fit one string.</summary>
    public const int MostBytes = 512 << 20;

    // Enough to see a PDF's mark, which may stand a little way in, or a page's first tags.
    private const int Head = 1024;

    /// <summary>The text of a file, of the kind its name says, or where that is no help, its content.</summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">The file is damaged, encrypted, too large, no text, or without any.</exception>
    public static string Load(string path, CancellationToken cancel = default)
    {
        if (Directory.Exists(path)) throw new InvalidDataException($"{path}: a folder; name one document in it.");
        if (!File.Exists(path)) throw new FileNotFoundException($"{path}: there is no such file; check the path.", path);
        using var file = File.OpenRead(path);
        return Load(file, KindOf(path), path, cancel);
    }

    /// <summary>The text of a stream, read to its end and left open.</summary>
    /// <param name="stream">Need not be seekable.</param>
    /// <param name="kind">Null to go by the content.</param>
    /// <param name="name">What messages call the document.</param>
    /// <param name="cancel">Checked between pages and tags; one hostile page of a PDF may still take its time.</param>
    /// <exception cref="InvalidDataException">The document is damaged, encrypted, too large, no text, or without any.</exception>
    public static string Load(Stream stream, DocumentKind? kind = null, string name = "document", CancellationToken cancel = default)
    {
        var bytes = ReadAll(stream, name, cancel);
        string text = (kind ?? Sniff(bytes.Span)) switch
        {
            DocumentKind.Html => HtmlText.Extract(HtmlEncoding.Decode(bytes.Span, name), cancel),
            DocumentKind.Pdf => PdfText.Extract(bytes, name, cancel),
            _ => PlainText.Decode(bytes.Span, name).ReplaceLineEndings("\n"),
        };
        return string.IsNullOrWhiteSpace(text)
            ? throw new InvalidDataException($"{name}: no text in it; a document needs some.")
            : text;
    }

    /// <summary>The kind a file's name says, or null where its extension is none of .txt .md .html .htm .pdf.</summary>
    public static DocumentKind? KindOf(string path) => Path.GetExtension(path).ToLowerInvariant() switch
    {
        ".txt" or ".md" => DocumentKind.Text,
        ".html" or ".htm" => DocumentKind.Html,
        ".pdf" => DocumentKind.Pdf,
        _ => null,
    };

    private static DocumentKind Sniff(ReadOnlySpan<byte> bytes)
    {
        string head = Encoding.Latin1.GetString(bytes[..Math.Min(bytes.Length, Head)]);
        if (head.Contains("%PDF-", StringComparison.Ordinal)) return DocumentKind.Pdf;
        return head.Contains("<html", StringComparison.OrdinalIgnoreCase) || head.Contains("<!doctype html", StringComparison.OrdinalIgnoreCase)
            ? DocumentKind.Html
            : DocumentKind.Text;
    }

    internal static ReadOnlyMemory<byte> ReadAll(Stream stream, string name, CancellationToken cancel, int most = MostBytes)
    {
        // Only a file's length is known to be true.
        long claimed = stream.CanSeek ? stream.Length - stream.Position : 0;
        var bytes = new MemoryStream(stream is FileStream ? (int)Math.Min(claimed, most) : 0);
        byte[] buffer = new byte[1 << 16];
        for (int read = 0; claimed <= most && bytes.Length <= most; bytes.Write(buffer, 0, read))
        {
            cancel.ThrowIfCancellationRequested();
            read = stream.Read(buffer);
            if (read == 0) return bytes.GetBuffer().AsMemory(0, (int)bytes.Length);
        }
        throw new InvalidDataException($"{name}: larger than {most >> 20} MB; split it into several documents.");
    }
}
