// The standard handler of PDF 1.1 is made of MD5 and RC4.
#pragma warning disable CA5351
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using UglyToad.PdfPig.Content;
using UglyToad.PdfPig.Core;
using UglyToad.PdfPig.Fonts.Standard14Fonts;
using UglyToad.PdfPig.Writer;

namespace ReadTwice.Tests;

/// <summary>PDFs made for tests: proper ones by the library's writer, others byte by byte.</summary>
public static class TestPdf
{
    /// <summary>A page for each list of texts, each text at its place.</summary>
    public static byte[] Pages(params (double X, double Y, string Text)[][] pages)
    {
        using var builder = new PdfDocumentBuilder();
        var font = builder.AddStandard14Font(Standard14Font.Helvetica);
        foreach (var texts in pages)
        {
            var page = builder.AddPage(PageSize.A4);
            foreach (var (x, y, text) in texts) page.AddText(text, 10, new PdfPoint(x, y), font);
        }
        return builder.Build();
    }

    /// <summary>One page with one line.</summary>
    public static byte[] WithText(string text) => Pages([(50, 700, text)]);

    /// <summary>One page whose content and further objects (from number 6 on) are given as they are.</summary>
    public static byte[] Raw(string content, string resources = "<</Font<</F1 5 0 R>>>>", string catalog = "", string[]? objects = null) => Assemble(
        [
            Latin($"<</Type/Catalog/Pages 2 0 R{catalog}>>"), Latin("<</Type/Pages/Kids[3 0 R]/Count 1>>"),
            Latin($"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources {resources}/Contents 4 0 R>>"),
            Latin(Stream("", content)), Latin("<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"), .. (objects ?? []).Select(Latin),
        ], "");

    /// <summary>A stream object with its dictionary.</summary>
    public static string Stream(string entries, string content) => $"<<{entries}/Length {content.Length}>>stream\n{content}\nendstream";

    /// <summary>One page with one line, encrypted by the standard handler with 40 bits.</summary>
    public static byte[] Encrypted(string text, string password)
    {
        byte[] id = Latin("0123456789ABCDEF"), user = Padded(password), owner = Rc4(MD5.HashData(Padded("owner"))[..5], user);
        byte[] permissions = new byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(permissions, -4);
        byte[] key = MD5.HashData([.. user, .. owner, .. permissions, .. id])[..5];
        byte[] content = Rc4(MD5.HashData([.. key, 4, 0, 0, 0, 0])[..10], Latin($"BT /F1 10 Tf 50 700 Td ({text}) Tj ET"));
        return Assemble(
            [
                Latin("<</Type/Catalog/Pages 2 0 R>>"), Latin("<</Type/Pages/Kids[3 0 R]/Count 1>>"),
                Latin("<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F1 5 0 R>>>>/Contents 4 0 R>>"),
                [.. Latin($"<</Length {content.Length}>>stream\n"), .. content, .. Latin("\nendstream")],
                Latin("<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"),
                Latin($"<</Filter/Standard/V 1/R 2/P -4/O<{Convert.ToHexString(owner)}>/U<{Convert.ToHexString(Rc4(key, Padded("")))}>>>"),
            ], $"/Encrypt 6 0 R/ID[<{Convert.ToHexString(id)}><{Convert.ToHexString(id)}>]");
    }

    private static byte[] Assemble(byte[][] objects, string trailer)
    {
        var file = new MemoryStream();
        void Write(string text) => file.Write(Latin(text));
        Write("%PDF-1.4\n");
        var offsets = new List<long>();
        for (int i = 0; i < objects.Length; i++)
        {
            offsets.Add(file.Position);
            Write($"{i + 1} 0 obj\n");
            file.Write(objects[i]);
            Write("\nendobj\n");
        }
        long xref = file.Position;
        Write($"xref\n0 {objects.Length + 1}\n0000000000 65535 f \n");
        foreach (long offset in offsets) Write($"{offset:D10} 00000 n \n");
        Write($"trailer\n<</Size {objects.Length + 1}/Root 1 0 R{trailer}>>\nstartxref\n{xref}\n%%EOF");
        return file.ToArray();
    }

    private static byte[] Padded(string password)
    {
        byte[] padding = Convert.FromHexString("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A");
        return [.. Latin(password).Concat(padding).Take(32)];
    }

    private static byte[] Rc4(byte[] key, byte[] data)
    {
        byte[] s = [.. Enumerable.Range(0, 256).Select(i => (byte)i)];
        for (int i = 0, j = 0; i < 256; i++)
        {
            j = (j + s[i] + key[i % key.Length]) & 255;
            (s[i], s[j]) = (s[j], s[i]);
        }
        byte[] result = new byte[data.Length];
        for (int n = 0, i = 0, j = 0; n < data.Length; n++)
        {
            i = (i + 1) & 255;
            j = (j + s[i]) & 255;
            (s[i], s[j]) = (s[j], s[i]);
            result[n] = (byte)(data[n] ^ s[(s[i] + s[j]) & 255]);
        }
        return result;
    }

    private static byte[] Latin(string text) => Encoding.Latin1.GetBytes(text);
}
