using System.Text;

namespace ReadTwice.Documents;

/// <summary>Builds text out of words and the gaps between them: of several gaps in a row the widest is written, and none at an end.</summary>
internal sealed class TextLines
{
    private readonly StringBuilder text = new();
    private Gap gap;
    private bool atRowStart, atCellStart;

    private enum Gap { None, Space, Tab, Line }

    /// <summary>Adds words; white space around and among them becomes one space, and soft hyphens go.</summary>
    public void Words(ReadOnlySpan<char> run)
    {
        foreach (char c in run)
        {
            if (char.IsWhiteSpace(c)) Widen(Gap.Space);
            else if (c is not ('\u00AD' or '\0')) Append(c);
        }
    }

    /// <summary>Adds text in which white space counts.</summary>
    public void Preformatted(ReadOnlySpan<char> run)
    {
        foreach (char c in run)
            if (c is not ('\r' or '\0')) Append(c);
    }

    /// <summary>Ends the line, unless a cell of a table has just begun: what a cell begins with stays beside what it stands beside.</summary>
    public void Line()
    {
        if (!atCellStart) Widen(Gap.Line);
    }

    /// <summary>Begins or ends a row of a table.</summary>
    public void Row()
    {
        (atRowStart, atCellStart) = (true, false);
        Widen(Gap.Line);
    }

    /// <summary>Begins a cell: after another one with a tab, in place of any line that the other ended with.</summary>
    public void Cell()
    {
        if (!atRowStart && !atCellStart) gap = Gap.Tab;
        (atRowStart, atCellStart) = (false, true);
    }

    /// <summary>All that was added.</summary>
    public override string ToString() => text.ToString();

    private void Widen(Gap wider)
    {
        if (wider > gap) gap = wider;
    }

    private void Append(char c)
    {
        bool first = text.Length == 0;
        if (gap == Gap.Line && !first && text[^1] != '\n') text.Append('\n');
        else if (gap is Gap.Space or Gap.Tab && !first) text.Append(gap == Gap.Tab ? '\t' : ' ');
        (gap, atCellStart) = (Gap.None, false);
        text.Append(c);
    }
}
