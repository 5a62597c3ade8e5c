using ReadTwice.Documents;

namespace ReadTwice.Tests;

public class PdfTextTests
{
    private const string Hello = "BT /F1 12 Tf 50 700 Td (Hello there) Tj ET ";

    [Fact]
    public void Pages_follow_one_another_a_line_break_between() =>
        Assert.Equal("First page\nsecond line\nLast page", Load(TestPdf.Pages(
            [(50, 700, "First page"), (50, 688, "second line")], [], [(50, 700, "Last page")])));

    [Fact]
    public void Columns_of_prose_are_read_one_after_the_other()
    {
        var page = new List<(double, double, string)> { (150, 780, "A heading over both of the columns") };
        for (int i = 0; i < 5; i++)
        {
            // Drawn row by row, so that the order of drawing is not that of reading.
            page.Add((50, 740 - 12 * i, $"left line {i} of the left column"));
            page.Add((320, 740 - 12 * i, $"right line {i} of the right column"));
        }
        string[] lines = Load(TestPdf.Pages([.. page])).Split('\n');
        Assert.Equal("A heading over both of the columns", lines[0]);
        Assert.Equal(Enumerable.Range(0, 5).Select(i => $"left line {i} of the left column"), lines[1..6]);
        Assert.Equal(Enumerable.Range(0, 5).Select(i => $"right line {i} of the right column"), lines[6..]);
    }

    [Fact]
    public void A_form_is_read_row_by_row_so_a_key_stands_beside_its_value() =>
        Assert.Equal("Applicant: Acme Incorporated\nDevice name: Thermo 3000\nProduct code: ABC", Load(TestPdf.Pages(
        [
            (50, 740, "Applicant:"), (50, 720, "Device name:"), (50, 700, "Product code:"),
            (250, 740, "Acme Incorporated"), (250, 720, "Thermo 3000"), (250, 700, "ABC"),
        ])));

    [Fact]
    public void A_letter_drawn_twice_in_one_place_is_read_once() =>
        Assert.Equal("Bold letters all", Load(TestPdf.Pages([(50, 700, "Bold letters all"), (50.3, 700.1, "Bold letters all"), (50, 700, "Bold letters all")])));

    [Fact]
    public void A_page_of_very_many_letters_is_read_as_it_was_drawn()
    {
        string line = string.Concat(Enumerable.Repeat("word after ", 20)).Trim();
        string text = Load(TestPdf.Pages([.. Enumerable.Range(0, 110).Select(i => (20.0, 830.0 - 7 * i, line))]));
        Assert.Equal(Enumerable.Repeat(line, 110), text.Split('\n'));
    }

    [Fact]
    public void A_document_encrypted_without_a_password_is_read() => Assert.Equal("Secret text", Load(TestPdf.Encrypted("Secret text", "")));

    [Fact]
    public void A_document_that_needs_a_password_is_refused() =>
        Assert.Equal("a.pdf: encrypted, and a password is needed; save a copy without one.", Refusal(TestPdf.Encrypted("Secret text", "open sesame")));

    [Fact]
    public void A_document_without_letters_is_refused_as_a_scan() =>
        Assert.Equal("a.pdf: 2 pages and no text on them; a scan needs text recognition (OCR) first.", Refusal(TestPdf.Pages([], [])));

    [Fact]
    public void A_damaged_document_is_refused()
    {
        byte[] good = TestPdf.WithText("Hello");
        Assert.StartsWith("a.pdf: damaged PDF", Refusal(good[..(good.Length / 2)]), StringComparison.Ordinal);
        Assert.StartsWith("a.pdf: damaged PDF", Refusal("%PDF-1.7\n"u8.ToArray()), StringComparison.Ordinal);
        Assert.StartsWith("a.pdf: damaged PDF", Refusal("no such thing"u8.ToArray()), StringComparison.Ordinal);
    }

    [Fact]
    public void However_a_document_is_damaged_it_is_read_or_refused_in_one_line()
    {
        byte[] good = TestPdf.Pages([(50, 700, "First page")], [(50, 700, "Second page")]);
        var random = new Random(7);
        for (int i = 0; i < 100; i++)
        {
            byte[] bad = [.. good];
            for (int n = random.Next(1, 12); n > 0; n--) bad[random.Next(bad.Length)] = (byte)random.Next(256);
            try
            {
                Assert.NotEmpty(Load(bad));
            }
            catch (InvalidDataException refused)
            {
                Assert.StartsWith("a.pdf: ", refused.Message, StringComparison.Ordinal);
                Assert.DoesNotContain('\n', refused.Message);
            }
        }
    }

    [Theory]
    [InlineData("[")]
    [InlineData("<<")]
    [InlineData("(")]
    [InlineData("q ")]
    public void However_deep_a_content_is_nested_the_process_goes_on(string opening)
    {
        byte[] pdf = TestPdf.Raw(Hello + string.Concat(Enumerable.Repeat(opening, 100_000)));
        if (opening is "q " or "(") Assert.StartsWith("Hello there", Load(pdf), StringComparison.Ordinal);
        else Assert.Contains("depth", Refusal(pdf), StringComparison.Ordinal);
    }

    [Fact]
    public void A_reference_that_leads_to_itself_is_refused()
    {
        Assert.Contains("leads to itself", Refusal(TestPdf.Raw(Hello, resources: "6 0 R", objects: ["7 0 R", "6 0 R"])), StringComparison.Ordinal);
        Assert.Contains("leads to itself", Refusal(TestPdf.Raw(Hello, resources: "7 0 R", objects:
            [TestPdf.Stream("/Type/ObjStm/N 2/First 10", "7 0 8 6   8 0 R 7 0 R")])), StringComparison.Ordinal);
    }

    [Fact]
    public void A_tree_that_is_its_own_branch_or_has_very_many_levels_is_refused()
    {
        Assert.Contains("leads to itself", Refusal(TestPdf.Raw(Hello, catalog: "/Names<</Dests 6 0 R>>", objects: ["<</Kids[7 0 R]>>", "<</K#69ds[6 0 R]>>"])), StringComparison.Ordinal);
        string[] levels = [.. Enumerable.Range(7, 400).Select(next => $"<</Kids[{next} 0 R]>>"), "<</Names[]>>"];
        Assert.Contains("more than 256 objects", Refusal(TestPdf.Raw(Hello, catalog: "/Names<</Dests 6 0 R>>", objects: levels)), StringComparison.Ordinal);
        string[] wide = [$"<</Kids[{string.Concat(Enumerable.Range(7, 400).Select(n => $"{n} 0 R "))}]>>", .. Enumerable.Repeat("<</Names[]>>", 400)];
        Assert.Equal("Hello there", Load(TestPdf.Raw(Hello, catalog: "/Names<</Dests 6 0 R>>", objects: wide)));
    }

    [Fact]
    public void Forms_that_draw_each_other_are_played_so_deep_and_no_deeper()
    {
        string Form(int other) => TestPdf.Stream(
            $"/Type/XObject/Subtype/Form/BBox[0 0 600 800]/Resources<</XObject<</X{other} {other} 0 R>>>>", $"/X{other} Do /X{other} Do");
        Assert.Equal("Hello there", Load(TestPdf.Raw(
            Hello + "/X6 Do", "<</Font<</F1 5 0 R>>/XObject<</X6 6 0 R>>>>", objects: [Form(7), Form(6)])));
    }

    [Fact]
    public void Text_in_a_form_is_read() => Assert.Equal("Hello there\nin a form", Load(TestPdf.Raw(
        Hello + "/X6 Do", "<</Font<</F1 5 0 R>>/XObject<</X6 6 0 R>>>>",
        objects: [TestPdf.Stream("/Type/XObject/Subtype/Form/BBox[0 0 600 800]/Resources<</Font<</F1 5 0 R>>>>", "BT /F1 12 Tf 50 680 Td (in a form) Tj ET")])));

    [Fact]
    public void Colours_and_shadings_are_not_played_so_what_is_wrong_with_them_does_not_matter() => Assert.Equal("Hello there", Load(TestPdf.Raw(
        "/C cs 0.5 sc /S sh " + Hello, "<</Font<</F1 5 0 R>>/ColorSpace<</C[/Separation/X/DeviceRGB 6 0 R]>>/Shading<</S 7 0 R>>>>",
        objects:
        [
            "<</FunctionType 3/Domain[0 1]/Functions[6 0 R]/Bounds[]/Encode[0 1]>>",
            "<</ShadingType 2/ColorSpace/DeviceRGB/Coords[0 0 1 1]/Function 6 0 R>>",
        ])));

    [Fact]
    public void A_page_that_takes_too_long_is_refused()
    {
        // Widths for two thousand million characters, counted out one by one.
        byte[] slow = TestPdf.Raw(Hello, "<</Font<</F1 6 0 R>>>>", objects:
        [
            "<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/DescendantFonts[7 0 R]>>",
            "<</Type/Font/Subtype/CIDFontType2/BaseFont/X/W[0 2147483647 500]/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>",
        ]);
        string message = "";
        try
        {
            throw new InvalidOperationException();
        }
        catch (InvalidOperationException)
        {
            // Inside a handler of exceptions a thread cannot be interrupted.
            message = Assert.Throws<InvalidDataException>(
                () => PdfText.Extract(slow, "a.pdf", CancellationToken.None, TimeSpan.FromMilliseconds(500))).Message;
        }
        Assert.Contains("a page takes more than", message, StringComparison.Ordinal);

        using var given = new CancellationTokenSource();
        var caller = new Thread(() =>
        {
            Thread.Sleep(500);
            given.Cancel();
        });
        caller.Start();
        Assert.ThrowsAny<OperationCanceledException>(() => DocumentText.Load(new MemoryStream(slow), DocumentKind.Pdf, cancel: given.Token));
        caller.Join();
    }

    [Fact]
    public void Text_in_places_on_no_page_is_passed_over() => Assert.Equal("Hello there", Load(TestPdf.Raw(
        Hello + "BT /F1 12 Tf 1e300 0 0 1e300 1e300 -1e300 Tm (far) Tj ET BT /F1 12 Tf 1 0 0 1 1e9 0 Tm (away) Tj ET")));

    private static string Load(byte[] pdf) => DocumentText.Load(new MemoryStream(pdf), DocumentKind.Pdf, "a.pdf", TestContext.Current.CancellationToken);

    private static string Refusal(byte[] pdf)
    {
        string message = Assert.Throws<InvalidDataException>(() => Load(pdf)).Message;
        Assert.DoesNotContain('\n', message);
        return message;
    }
}
