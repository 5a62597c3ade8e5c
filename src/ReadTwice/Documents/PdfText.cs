using UglyToad.PdfPig;
using UglyToad.PdfPig.Content;
using UglyToad.PdfPig.Exceptions;

namespace ReadTwice.Documents;

/// <summary>The text of a PDF, page after page, a line break between two.</summary>
internal static class PdfText
{
    private const int LongestReason = 200;

    private static readonly TimeSpan pageLimit = TimeSpan.FromSeconds(60);

    // Fonts that are missing or damaged cost their letters, not the document.
    private static readonly ParsingOptions options = new() { UseLenientParsing = true, SkipMissingFonts = true };

    /// <param name="bytes">The file.</param>
    /// <param name="name">What messages call it.</param>
    /// <param name="cancel">Stops the reading wherever it is.</param>
    /// <param name="limit">The most time for a page; a minute where it is left out.</param>
    /// <exception cref="InvalidDataException">The PDF is damaged, hostile, needs a password, or holds no text.</exception>
    public static string Extract(ReadOnlyMemory<byte> bytes, string name, CancellationToken cancel, TimeSpan? limit = null)
    {
        var pages = new List<string>();
        try
        {
            using var watchdog = new Watchdog(limit ?? pageLimit, cancel);
            watchdog.Run(() => Read(bytes, pages, watchdog, cancel));
        }
        catch (PdfDocumentEncryptedException)
        {
            throw new InvalidDataException($"{name}: encrypted, and a password is needed; save a copy without one.");
        }
        // The reader throws exceptions of many kinds at damaged files, its own and the runtime's: any of them means the file is bad.
        catch (Exception e) when (!cancel.IsCancellationRequested)
        {
            string reason = e.Message.ReplaceLineEndings(" ").Trim().TrimEnd('.');
            if (reason.Length > LongestReason) reason = reason[..LongestReason] + "...";
            string where = pages.Count == 0 ? "" : $" after page {pages.Count}";
            throw new InvalidDataException($"{name}: damaged PDF{where} ({reason}); save or fetch it again.", e);
        }

        string text = string.Join('\n', pages.Where(page => page.Length > 0));
        return text.Length > 0
            ? text
            : throw new InvalidDataException($"{name}: {pages.Count} pages and no text on them; a scan needs text recognition (OCR) first.");
    }

    private static void Read(ReadOnlyMemory<byte> bytes, List<string> pages, Watchdog watchdog, CancellationToken cancel)
    {
        PdfChains.Require(bytes);
        using var document = PdfDocument.Open(bytes, options);
        document.AddPageFactory<List<Letter>, PdfPages>();
        while (pages.Count < document.NumberOfPages)
        {
            cancel.ThrowIfCancellationRequested();
            watchdog.NextPage();
            pages.Add(PdfLayout.Text(document.GetPage<List<Letter>>(pages.Count + 1)).Replace("\0", "", StringComparison.Ordinal).Trim());
        }
    }
}
