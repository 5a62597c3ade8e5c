namespace ReadTwice.Documents;

/// <summary>Which elements of a page are open: the part of HTML's tree building that decides where a hidden one ends.</summary>
/// <remarks>Elements nested deeper than <see cref="MostDepth"/> are counted but not told apart, so a tag costs no more than that.</remarks>
internal sealed class OpenTags
{
    private const int MostDepth = 512;

    private static readonly HashSet<string> blocks =
    [
        "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir", "div", "dl", "dt",
        "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "html",
        "legend", "li", "listing", "main", "menu", "nav", "ol", "optgroup", "option", "p", "plaintext", "pre", "search", "section",
        "summary", "table", "tbody", "tfoot", "thead", "ul", "xmp",
    ];

    private static readonly HashSet<string> voids =
    [
        "area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "img", "input", "keygen", "link", "meta", "param",
        "source", "track", "wbr",
    ];

    private readonly List<string> open = [];
    private readonly Dictionary<string, int> counts = [];
    private int deeper;
    private int hidden = int.MaxValue;

    /// <summary>Whether what comes next is inside a hidden element.</summary>
    public bool Hidden => open.Count > hidden;

    /// <summary>Whether an element begins and ends its own lines.</summary>
    public static bool IsBlock(string name) => blocks.Contains(name);

    /// <summary>Whether an element of that name is open.</summary>
    public bool Contains(string name) => counts.ContainsKey(name);

    /// <summary>Opens an element, and closes those that its beginning ends.</summary>
    public void Start(string name, bool isHidden)
    {
        CloseBefore(name);
        if (voids.Contains(name)) return;
        if (open.Count == MostDepth)
        {
            deeper++;
            return;
        }
        if (isHidden) hidden = Math.Min(hidden, open.Count);
        open.Add(name);
        counts[name] = counts.GetValueOrDefault(name) + 1;
    }

    /// <summary>Closes an element and those inside it; one that is not open is passed over.</summary>
    public void End(string name)
    {
        if (deeper > 0) deeper--;
        else if (Contains(name)) CloseFrom(open.LastIndexOf(name));
    }

    private void CloseBefore(string name)
    {
        switch (name)
        {
            case "li": CloseNearest(["li"], ["ul", "ol", "menu", "table"]); break;
            case "dt" or "dd": CloseNearest(["dt", "dd"], ["dl", "table"]); break;
            case "td" or "th": CloseNearest(["td", "th"], ["tr", "table"]); break;
            case "tr": CloseNearest(["tr"], ["table"]); break;
            case "tbody" or "thead" or "tfoot": CloseNearest(["tbody", "thead", "tfoot"], ["table"]); break;
            case "option" or "optgroup": CloseNearest([name], ["select", "datalist"]); break;
        }
        if (IsBlock(name)) CloseNearest(["p"], ["button", "td", "th", "caption", "object"]);
    }

    private void CloseNearest(ReadOnlySpan<string> names, ReadOnlySpan<string> bounds)
    {
        bool any = false;
        foreach (string name in names) any |= Contains(name);
        for (int i = open.Count - 1; any && i >= 0 && !bounds.Contains(open[i]); i--)
        {
            if (!names.Contains(open[i])) continue;
            CloseFrom(i);
            return;
        }
    }

    private void CloseFrom(int index)
    {
        for (int i = open.Count - 1; i >= index; i--)
        {
            if (--counts[open[i]] == 0) counts.Remove(open[i]);
            open.RemoveAt(i);
        }
        if (index <= hidden) hidden = int.MaxValue;
    }
}
