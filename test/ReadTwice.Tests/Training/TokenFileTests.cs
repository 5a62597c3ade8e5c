using ReadTwice.Training;

namespace ReadTwice.Tests.Training;

public sealed class TokenFileTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory, InlineData(300), InlineData(65_536), InlineData(65_537)]
    public void What_is_written_is_read_back(int vocabulary)
    {
        TokenSequence[] sequences =
        [
            TokenSequence.OfText([1, 2, vocabulary - 1], 2),
            new([7, 8, 9, 10], [TokenRole.Kept, TokenRole.Answer, TokenRole.Padding, TokenRole.Text], 0),
        ];
        TokenFile.Write(folder.File("a.seq"), vocabulary, sequences);
        using var file = new TokenFile(folder.File("a.seq"));
        Assert.Equal((vocabulary, 2, 7L), (file.VocabularySize, file.Count, file.Tokens));
        for (int i = 0; i < sequences.Length; i++)
        {
            Assert.Equal(sequences[i].Ids, file[i].Ids);
            Assert.Equal(sequences[i].Roles, file[i].Roles);
            Assert.Equal(sequences[i].PrefixLength, file[i].PrefixLength);
        }
    }

    [Fact]
    public void A_damaged_file_is_refused_in_one_line_and_never_read_beyond_its_end()
    {
        string path = folder.File("a.seq");
        TokenFile.Write(path, 300, [TokenSequence.OfText([1, 2, 3], 2), TokenSequence.OfText([4, 5], 1)]);
        byte[] good = File.ReadAllBytes(path);
        for (int length = 0; length < good.Length; length++) Refuses(good[..length]);
        for (int i = 0; i < 48; i++)   // header and table; what follows are tokens
        {
            foreach (byte value in (byte[])[0xFF, 0x80, 1])
            {
                byte[] bad = [.. good];
                bad[i] ^= value;
                Refuses(bad);
            }
        }

        void Refuses(byte[] content)
        {
            File.WriteAllBytes(path, content);
            try
            {
                using var file = new TokenFile(path);
                for (int i = 0; i < file.Count; i++) _ = file[i];
            }
            catch (InvalidDataException refused)
            {
                Assert.DoesNotContain('\n', refused.Message);
            }
        }
    }

    [Fact]
    public void An_id_beyond_the_vocabulary_is_refused()
    {
        string path = folder.File("a.seq");
        TokenFile.Write(path, 300, [TokenSequence.OfText([1, 2, 300], 2)]);
        using var file = new TokenFile(path);
        Assert.Contains("300", Assert.Throws<InvalidDataException>(() => file[0]).Message);
    }

    [Fact]
    public void A_missing_file_says_what_writes_one() =>
        Assert.Contains("jrt prepare", Assert.Throws<FileNotFoundException>(() => new TokenFile(folder.File("none.seq"))).Message);
}
