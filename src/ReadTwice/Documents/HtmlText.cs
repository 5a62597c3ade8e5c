using System.Text.RegularExpressions;
using AngleSharp.Html;
using AngleSharp.Html.Parser;
using AngleSharp.Html.Parser.Tokens;
using AngleSharp.Text;

namespace ReadTwice.Documents;

/// <summary>The text a reader of a web page sees: its title, then block after block, a line each.</summary>
/// <remarks>
/// The page is read tag by tag and no tree is built, so the cost grows with the page's length alone, however it is nested.
/// A table's row is a line with a tab between cells; white space counts in pre alone.
/// </remarks>
internal sealed partial class HtmlText
{
    // What of a page's text is never shown, or only where something else cannot be.
    private static readonly HashSet<string> unseen =
    [
        "audio", "canvas", "datalist", "iframe", "noembed", "noframes", "noscript", "object", "script", "style", "svg", "template",
        "textarea", "title", "video",
    ];

    private readonly TextLines title = new(), body = new();
    private readonly OpenTags open = new();
    private bool preBegan, titleEnded;

    /// <summary>The page's text.</summary>
    public static string Extract(string html, CancellationToken cancel)
    {
        using var source = new TextSource(html);
        using var tokens = new HtmlTokenizer(source, HtmlEntityProvider.Resolver)
        {
            SkipComments = true,
            DisableElementPositionTracking = true,
            ShouldEmitAttribute = (ref _, attribute) => attribute.Span is "hidden" or "style",
        };
        var page = new HtmlText();
        for (HtmlToken token; (token = tokens.Get()).Type != HtmlTokenType.EndOfFile;)
        {
            cancel.ThrowIfCancellationRequested();
            if (token.Type == HtmlTokenType.Character) page.Text(token.Data);
            else if (token.Type == HtmlTokenType.EndTag) page.End(token.Name);
            else if (token.Type == HtmlTokenType.StartTag) tokens.State = page.Start((HtmlTagToken)token);
        }
        return $"{page.title}\n{page.body}".Trim('\n');
    }

    // Gives the state in which the tokenizer goes on.
    private HtmlParseMode Start(HtmlTagToken tag)
    {
        bool drawing = open.Contains("svg") || open.Contains("math");
        if (tag.IsSelfClosing && drawing) return HtmlParseMode.PCData;
        Break(tag.Name, starts: true);
        open.Start(tag.Name, unseen.Contains(tag.Name) || IsHidden(tag));
        preBegan = tag.Name == "pre";
        return drawing ? HtmlParseMode.PCData : ModeAfter(tag.Name);
    }

    private void End(string name)
    {
        titleEnded |= name == "title" && !open.Contains("svg");
        Break(name, starts: false);
        open.End(name);
    }

    private void Text(string run)
    {
        if (open.Hidden)
        {
            if (!titleEnded && open.Contains("title") && !open.Contains("svg")) title.Words(run);
        }
        else if (open.Contains("pre")) body.Preformatted(preBegan ? run.AsSpan(run.StartsWith('\n') ? 1 : 0) : run);
        else body.Words(run);
        preBegan = false;
    }

    private void Break(string name, bool starts)
    {
        if (open.Hidden) return;
        if (name is "tr" or "table") body.Row();
        else if (name is "td" or "th")
        {
            if (starts) body.Cell();
        }
        else if (name == "br" || OpenTags.IsBlock(name)) body.Line();
    }

    private static bool IsHidden(HtmlTagToken tag)
    {
        foreach (var attribute in tag.Attributes)
            if (attribute.Name == "hidden" || attribute.Name == "style" && NotDisplayed().IsMatch(attribute.Value)) return true;
        return false;
    }

    private static HtmlParseMode ModeAfter(string name) => name switch
    {
        "title" or "textarea" => HtmlParseMode.RCData,
        "script" => HtmlParseMode.Script,
        "style" or "xmp" or "iframe" or "noembed" or "noframes" or "noscript" => HtmlParseMode.Rawtext,
        "plaintext" => HtmlParseMode.Plaintext,
        _ => HtmlParseMode.PCData,
    };

    [GeneratedRegex(@"(?:^|;)\s*display\s*:\s*none\b", RegexOptions.IgnoreCase)]
    private static partial Regex NotDisplayed();
}
