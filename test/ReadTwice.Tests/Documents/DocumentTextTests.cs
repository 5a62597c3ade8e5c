using System.Text;
using ReadTwice.Documents;

namespace ReadTwice.Tests;

public sealed class DocumentTextTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("documents-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData("a.txt")]
    [InlineData("a.MD")]
    [InlineData("a.log")]
    [InlineData("README")]
    public void Text_is_given_as_it_is_with_plain_line_ends(string name) =>
        Assert.Equal("# é 😀\n<b>\n\tx ", Load(name, "# é 😀\r\n<b>\n\tx "u8));

    [Fact]
    public void A_byte_order_mark_says_how_text_is_written_and_is_no_part_of_it()
    {
        Assert.Equal("né", Load("a.txt", [0xEF, 0xBB, 0xBF, .. "né"u8]));
        Assert.Equal("né😀", Load("a.txt", [0xFF, 0xFE, .. Encoding.Unicode.GetBytes("né😀")]));
        Assert.Equal("né😀", Load("a.txt", [0xFE, 0xFF, .. Encoding.BigEndianUnicode.GetBytes("né😀")]));
    }

    [Theory]
    [InlineData(new byte[] { (byte)'a', 0xC3, 0xA9, 0xE9, (byte)'b' }, "byte 0xE9 at offset 3 is no UTF-8; save the file as UTF-8.")]
    [InlineData(new byte[] { (byte)'a', 0xC3 }, "byte 0xC3 at offset 1 is no UTF-8; save the file as UTF-8.")]
    [InlineData(new byte[] { 0xED, 0xA0, 0x80 }, "byte 0xED at offset 0 is no UTF-8; save the file as UTF-8.")]
    [InlineData(new byte[] { (byte)'a', 0, (byte)'b' }, "byte 0x00 at offset 1, so no text; convert it to UTF-8 text, HTML or PDF first.")]
    [InlineData(new byte[] { 0xFF, 0xFE, 0x00, 0xD8 }, "begins as UTF-16 and does not go on as such; save the file as UTF-8.")]
    [InlineData(new byte[] { 0xFF, 0xFE, 0x41 }, "begins as UTF-16 and does not go on as such; save the file as UTF-8.")]
    [InlineData(new byte[] { 0xFF, 0xFE, 0x41, 0, 0, 0 }, "character U+0000 at offset 4, so no text; save the file as UTF-8.")]
    public void Bytes_that_are_no_text_are_refused_by_offset(byte[] bytes, string complaint)
    {
        Assert.EndsWith($"a.txt: {complaint}", Refusal("a.txt", bytes), StringComparison.Ordinal);
        Assert.EndsWith($"a.bin: {complaint}", Refusal("a.bin", bytes), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a.txt", "")]
    [InlineData("a.txt", " \r\n\t\u00A0")]
    [InlineData("a.txt", "\uFEFF")]
    [InlineData("a.html", "<title> </title><script>x</script><p hidden>y</p>&nbsp;")]
    [InlineData("a.html", "")]
    public void A_document_without_text_is_refused(string name, string content) =>
        Assert.EndsWith($"{name}: no text in it; a document needs some.", Refusal(name, Encoding.UTF8.GetBytes(content)), StringComparison.Ordinal);

    [Theory]
    [InlineData("a.htm", "<p>x</p>", "x")]
    [InlineData("page", "<!DOCTYPE HTML><p>x</p>", "x")]
    [InlineData("page.php", "\uFEFF\n<HTML lang=en><p>x</p>", "x")]
    [InlineData("page", "<p>x</p>", "<p>x</p>")]
    [InlineData("a.txt", "<html><p>x</p>", "<html><p>x</p>")]
    public void The_name_says_the_kind_and_where_it_does_not_the_content(string name, string content, string text) =>
        Assert.Equal(text, Load(name, Encoding.UTF8.GetBytes(content)));

    [Fact]
    public void A_pdf_is_known_by_its_mark()
    {
        Assert.Equal("Hello", Load("download", TestPdf.WithText("Hello")));
        Assert.Equal("Hello", Load("download", [.. "\r\n"u8, .. TestPdf.WithText("Hello")]));
    }

    [Fact]
    public void A_stream_need_not_be_seekable_and_stays_open()
    {
        using var inner = new MemoryStream("a\r\nb"u8.ToArray());
        using var once = new ForwardStream(inner);
        Assert.Equal("a\nb", DocumentText.Load(once, DocumentKind.Text, cancel: Cancel));
        Assert.True(inner.CanRead);
        using var named = new ForwardStream(new MemoryStream());
        Assert.StartsWith("upload 7: ", Assert.Throws<InvalidDataException>(() => DocumentText.Load(named, name: "upload 7", cancel: Cancel)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_stream_that_claims_or_holds_too_much_is_not_kept()
    {
        using var endless = new EndlessStream();
        Assert.Contains("larger than 2 MB", Assert.Throws<InvalidDataException>(
            () => DocumentText.ReadAll(endless, "a", Cancel, most: 2 << 20)).Message, StringComparison.Ordinal);
        string sparse = Path.Combine(folder, "sparse.txt");
        using (var file = File.Create(sparse)) file.SetLength(DocumentText.MostBytes + 1L);
        Assert.Contains("larger than 512 MB", Assert.Throws<InvalidDataException>(() => DocumentText.Load(sparse, Cancel)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_no_file_is_refused()
    {
        Assert.Contains("there is no such file", Assert.Throws<FileNotFoundException>(() => DocumentText.Load(Path.Combine(folder, "none.txt"), Cancel)).Message, StringComparison.Ordinal);
        Assert.Contains("a folder", Assert.Throws<InvalidDataException>(() => DocumentText.Load(folder, Cancel)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_caller_who_gives_up_is_heard()
    {
        using var given = new CancellationTokenSource();
        given.Cancel();
        foreach (var (kind, bytes) in new[] { (DocumentKind.Text, "x"u8.ToArray()), (DocumentKind.Html, "x"u8.ToArray()), (DocumentKind.Pdf, TestPdf.WithText("x")) })
            Assert.ThrowsAny<OperationCanceledException>(() => DocumentText.Load(new MemoryStream(bytes), kind, cancel: given.Token));
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private string Load(string name, ReadOnlySpan<byte> bytes)
    {
        string path = Path.Combine(folder, name);
        File.WriteAllBytes(path, bytes);
        return DocumentText.Load(path, Cancel);
    }

    private string Refusal(string name, byte[] bytes)
    {
        string message = Assert.Throws<InvalidDataException>(() => Load(name, bytes)).Message;
        Assert.DoesNotContain('\n', message);
        return message;
    }

    private class ForwardStream(Stream inner) : Stream
    {
        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => false;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
        public override int Read(byte[] buffer, int offset, int count) => inner.Read(buffer, offset, Math.Min(count, 1));
        public override void Flush() { }
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }

    private sealed class EndlessStream() : ForwardStream(Null)
    {
        public override int Read(byte[] buffer, int offset, int count) => count;
    }
}
