using System.Text;
using ReadTwice.Documents;

namespace ReadTwice.Tests;

public class HtmlTextTests
{
    [Theory]
    [InlineData("<p>One</p><p>Two\n three&nbsp; four</p>five", "One\nTwo three four\nfive")]
    [InlineData("<h1>Head</h1>text<div>block<div>inner</div></div>tail", "Head\ntext\nblock\ninner\ntail")]
    [InlineData("a<br>b<br/>c<hr>d", "a\nb\nc\nd")]
    [InlineData("be<b>tw</b>een <i>words</i> , in<span>line</span>", "between words , inline")]
    [InlineData("<ul><li>one<li>two<ul><li>deep</ul><li>three</ul>after", "one\ntwo\ndeep\nthree\nafter")]
    [InlineData("<dl><dt>term<dd>meaning<dt>next<dd>more</dl>", "term\nmeaning\nnext\nmore")]
    [InlineData("inter&shy;national &lt;b&gt; &eacute;&#x41;&#8364;", "international <b> éA€")]
    [InlineData("a<!-- not this -->b<?php echo 1 ?>c", "abc")]
    [InlineData("<p>  <p><p>x<p> ", "x")]
    public void Blocks_are_lines_and_white_space_collapses(string html, string text) => Assert.Equal(text, Load(html));

    [Theory]
    [InlineData("<table><tr><th>Key<th>Value<tr><td>a<td>1</table>x", "Key\tValue\na\t1\nx")]
    [InlineData("<table><tbody><tr><td><p>a</p></td><td><div>b</div> </td></tr></tbody></table>", "a\tb")]
    [InlineData("<table><tr><td>a<br>b<td>c</table>", "a\nb\tc")]
    [InlineData("<table><tr><td><td>c<td></table>d", "c\nd")]
    [InlineData("<table><tr><td>a<td><table><tr><td>x<td>y<tr><td>z</table><td>b</table>", "a\nx\ty\nz\nb")]
    public void A_row_is_a_line_with_tabs_between_its_cells(string html, string text) => Assert.Equal(text, Load(html));

    [Theory]
    [InlineData("<pre>\n  a\n\tb  c\n</pre>d", "  a\n\tb  c\nd")]
    [InlineData("x<pre>  <b>y</b>\n\nz</pre>", "x\n  y\n\nz")]
    public void White_space_counts_in_pre(string html, string text) => Assert.Equal(text, Load(html));

    [Theory]
    [InlineData("a<script>if (x<y) '<p>no</p>'</script><style>p{}</style>b", "ab")]
    [InlineData("a<noscript><p>no</p></noscript><template><p>no</p></template>b", "ab")]
    [InlineData("a<textarea>no</textarea><iframe>no</iframe><svg><title>no</title><text>no</text></svg>b", "ab")]
    [InlineData("<div hidden>no<div>no</div>no</div>yes", "yes")]
    [InlineData("<p hidden>no<p>yes", "yes")]
    [InlineData("<ul><li hidden>no<ul><li>no</ul>no<li>yes</ul>", "yes")]
    [InlineData("<ul><li hidden>no</ul>yes", "yes")]
    [InlineData("<table><tr hidden><td>no<td>no<tr><td>yes</table>", "yes")]
    [InlineData("a<span style='color:red; DISPLAY : none'>no</span><span style='x-display:none'>b</span>", "ab")]
    [InlineData("a<input hidden><br hidden>b", "a\nb")]
    [InlineData("<div hidden>no</span></div>yes</div>yes", "yes\nyes")]
    [InlineData("<svg><title/><path d='M0'/></svg>yes<svg/>", "yes")]
    [InlineData("<script>no", null)]
    public void What_is_not_shown_is_not_read(string html, string? text)
    {
        if (text is not null) Assert.Equal(text, Load(html));
        else Assert.Throws<InvalidDataException>(() => Load(html));
    }

    [Theory]
    [InlineData("<head><title> The\nTitle &amp; <b> </title><meta name=x></head><body><h1>Head</h1>", "The Title & <b>\nHead")]
    [InlineData("<title>First</title><p>x<title>Second</title>", "First\nx")]
    [InlineData("<p>x<svg><title>drawing</title></svg>", "x")]
    public void The_title_comes_first(string html, string text) => Assert.Equal(text, Load(html));

    [Theory]
    [InlineData("<meta charset=windows-1252>", new byte[] { 0x93, 0xE9, 0x94 }, "“é”")]
    [InlineData("<meta http-equiv=content-type content='text/html; charset=ISO-8859-1'>", new byte[] { 0x93, 0xE9 }, "“é")]
    [InlineData("<meta charset=\"windows-1251\">", new byte[] { 0xCF }, "П")]
    [InlineData("<?xml version='1.0' encoding='shift_jis'?>", new byte[] { 0x93, 0xFA }, "日")]
    [InlineData("<meta charset=gb2312>", new byte[] { 0xC4, 0xE3 }, "你")]
    [InlineData("<meta charset=utf-8>", new byte[] { 0xC3, 0xA9, 0xE9 }, "é\uFFFD")]
    [InlineData("<meta charset=nonsense>", new byte[] { 0xC3, 0xA9 }, "é")]
    [InlineData("", new byte[] { 0xC3, 0xA9 }, "é")]
    [InlineData("", new byte[] { 0x93, 0xE9 }, "“é")]
    public void A_page_is_read_in_the_encoding_it_names_or_seems_to_have(string head, byte[] body, string text) =>
        Assert.Equal(text, DocumentText.Load(new MemoryStream([.. Encoding.ASCII.GetBytes(head + "<p>"), .. body]), DocumentKind.Html, cancel: Cancel));

    [Fact]
    public void A_mark_at_the_start_outdoes_what_a_page_says()
    {
        Assert.Equal("é", DocumentText.Load(new MemoryStream([0xEF, 0xBB, 0xBF, .. "<meta charset=windows-1251>é"u8]), DocumentKind.Html, cancel: Cancel));
        Assert.Equal("é", DocumentText.Load(new MemoryStream([0xFF, 0xFE, .. Encoding.Unicode.GetBytes("<p>é")]), DocumentKind.Html, cancel: Cancel));
        Assert.Contains("0x00", Assert.Throws<InvalidDataException>(() => Load("<p>a\0b")).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("<div>", "start\nend")]
    [InlineData("<b>", "start\nend")]
    [InlineData("<table><tr><td>", "start\nend")]
    [InlineData("<ul><li>", "start\nend")]
    [InlineData("<p><a href=x>", "start\nend")]
    [InlineData("</div>", "start\nend")]
    [InlineData("<svg>", "start")]
    public void However_deep_a_page_is_nested_its_text_is_read(string tag, string text) =>
        Assert.Equal(text, Load($"<p>start</p>{string.Concat(Enumerable.Repeat(tag, 100_000))}<p>end"));

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private static string Load(string html) => DocumentText.Load(new MemoryStream(Encoding.UTF8.GetBytes(html)), DocumentKind.Html, cancel: Cancel);
}
