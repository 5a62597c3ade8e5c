using System.Text;
using UglyToad.PdfPig.Content;
using UglyToad.PdfPig.DocumentLayoutAnalysis;
using UglyToad.PdfPig.DocumentLayoutAnalysis.PageSegmenter;
using UglyToad.PdfPig.DocumentLayoutAnalysis.ReadingOrderDetector;
using UglyToad.PdfPig.DocumentLayoutAnalysis.WordExtractor;

namespace ReadTwice.Documents;

/// <summary>A PDF page's letters as text, in the order a person reads them: columns of prose one after the other, forms and tables row by row.</summary>
internal static class PdfLayout
{
    // Above this a page is taken in the order it was written: finding blocks costs more than in proportion.
    private const int MostLetters = 20_000;

    // A column with fewer words a line than this holds keys or cells, not prose: what stands beside it belongs to it.
    private const int WordsOfProse = 3;

    // One thread: a page is one of many documents' at once, and what other threads do could not be stopped from outside.
    private static readonly NearestNeighbourWordExtractor words = new(new() { MaxDegreeOfParallelism = 1 });
    private static readonly DocstrumBoundingBoxes segments = new(new() { MaxDegreeOfParallelism = 1 });

    /// <summary>The page's lines.</summary>
    public static string Text(IReadOnlyList<Letter> letters)
    {
        letters = DrawnOnce(letters);
        if (letters.Count > MostLetters) return AsWritten(letters);
        var written = words.GetWords(letters).Where(word => !string.IsNullOrWhiteSpace(word.Text)).ToList();
        if (written.Count == 0) return "";
        var blocks = JoinTables(segments.GetBlocks(written));
        return string.Join('\n', UnsupervisedReadingOrderDetector.Instance.Get(blocks).Select(block => block.Text));
    }

    // A letter drawn again in nearly the same place, for boldness or a shadow, is one letter.
    private static List<Letter> DrawnOnce(IReadOnlyList<Letter> letters)
    {
        var once = new List<Letter>();
        var places = new HashSet<(string, long, long)>();
        foreach (var letter in letters)
        {
            double near = Math.Max(letter.PointSize, 0.1) / 20;
            long x = (long)(letter.StartBaseLine.X / near), y = (long)(letter.StartBaseLine.Y / near);
            bool again = false;
            for (int i = 0; i < 9 && !again; i++) again = places.Contains((letter.Value, x + i / 3 - 1, y + i % 3 - 1));
            if (!again) once.Add(letter);
            places.Add((letter.Value, x, y));
        }
        return once;
    }

    private static string AsWritten(IReadOnlyList<Letter> letters)
    {
        var text = new StringBuilder();
        for (int i = 0; i < letters.Count; i++)
        {
            if (i > 0)
            {
                var (from, to) = (letters[i - 1].EndBaseLine, letters[i].StartBaseLine);
                if (Math.Abs(to.Y - from.Y) > letters[i].PointSize / 2) text.Append('\n');
                else if (Math.Abs(to.X - from.X) > letters[i].PointSize / 4) text.Append(' ');
            }
            text.Append(letters[i].Value);
        }
        return text.ToString();
    }

    private static List<TextBlock> JoinTables(IReadOnlyList<TextBlock> blocks)
    {
        var joined = new List<TextBlock>();
        foreach (var block in blocks)
        {
            var table = new List<TextBlock> { block };
            for (int i = joined.Count - 1; i >= 0; i--)
            {
                if (!IsBeside(block, joined[i])) continue;
                table.Add(joined[i]);
                joined.RemoveAt(i);
            }
            joined.Add(table.Count == 1 ? block : Rows(table));
        }
        return joined;
    }

    private static bool IsBeside(TextBlock a, TextBlock b)
    {
        double overlap = Math.Min(a.BoundingBox.Top, b.BoundingBox.Top) - Math.Max(a.BoundingBox.Bottom, b.BoundingBox.Bottom);
        return overlap > Math.Min(a.BoundingBox.Height, b.BoundingBox.Height) / 2
            && (WordsPerLine(a) < WordsOfProse || WordsPerLine(b) < WordsOfProse);
    }

    private static double WordsPerLine(TextBlock block) => block.TextLines.Average(line => line.Words.Count);

    // Lines that share a base line become one, left to right.
    private static TextBlock Rows(List<TextBlock> blocks)
    {
        var rows = new List<List<TextLine>>();
        foreach (var line in blocks.SelectMany(block => block.TextLines).OrderByDescending(Baseline))
        {
            if (rows.Count > 0 && Baseline(rows[^1][0]) - Baseline(line) < line.BoundingBox.Height / 2) rows[^1].Add(line);
            else rows.Add([line]);
        }
        return new TextBlock([.. rows.Select(row => new TextLine([.. row.OrderBy(line => line.BoundingBox.Left).SelectMany(line => line.Words)]))]);
    }

    private static double Baseline(TextLine line) => line.Words[0].Letters[0].StartBaseLine.Y;
}
