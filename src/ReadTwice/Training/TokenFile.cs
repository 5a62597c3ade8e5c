using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using ReadTwice.Checkpoints;

namespace ReadTwice.Training;

/// <summary>Training sequences on disk, mapped and read as they are asked for.</summary>
/// <remarks>
/// Little-endian: the eight bytes of <see cref="Magic"/>; the width of an id, 2 or 4 bytes, and the vocabulary's size as int32; the
/// numbers of sequences and of tokens as int64; for each sequence its tokens and its prefix as int32; all ids; a byte a token for its role.
/// </remarks>
public sealed class TokenFile : IDisposable
{
    private const int HeaderBytes = 32, EntryBytes = 8;
    private readonly MappedFile file;
    private readonly int idBytes;
    private readonly long idsAt, rolesAt;
    private readonly long[] starts;
    private readonly (int Length, int Prefix)[] entries;

    /// <summary>Opens a file.</summary>
    /// <exception cref="FileNotFoundException">There is none.</exception>
    /// <exception cref="InvalidDataException">It is none of these, or damaged; the message says what was found.</exception>
    public TokenFile(string path)
    {
        if (!File.Exists(path)) throw new FileNotFoundException($"{path} does not exist; a file of training sequences is needed: jrt prepare writes one.", path);
        file = new MappedFile(path);
        try
        {
            if (file.Length < HeaderBytes || !file.Span(0, Magic.Length).SequenceEqual(Magic))
                throw file.Bad("the file holds no training sequences; jrt prepare writes such files");
            idBytes = BinaryPrimitives.ReadInt32LittleEndian(file.Span(8, 4));
            VocabularySize = BinaryPrimitives.ReadInt32LittleEndian(file.Span(12, 4));
            long count = BinaryPrimitives.ReadInt64LittleEndian(file.Span(16, 8));
            Tokens = BinaryPrimitives.ReadInt64LittleEndian(file.Span(24, 8));
            if (idBytes is not (2 or 4)) throw file.Bad($"ids of {idBytes} bytes are not known; 2 or 4 are");
            if (count < 1 || Tokens < 1 || count > file.Length || Tokens > file.Length || HeaderBytes + EntryBytes * count + (idBytes + 1) * Tokens != file.Length)
                throw file.Bad($"the file has {file.Length} bytes, which do not fit {count} sequences of {Tokens} tokens; it is cut short, make it again");
            (idsAt, rolesAt) = (HeaderBytes + EntryBytes * count, HeaderBytes + EntryBytes * count + idBytes * Tokens);
            (starts, entries) = (new long[count], new (int, int)[count]);
            ReadEntries();
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>How a file begins.</summary>
    public static ReadOnlySpan<byte> Magic => "jrt-seq1"u8;

    /// <summary>The file's name, for messages.</summary>
    public string Name => file.Name;

    /// <summary>Every id is below it.</summary>
    public int VocabularySize { get; }

    /// <summary>Tokens of all sequences.</summary>
    public long Tokens { get; }

    /// <summary>How many sequences there are.</summary>
    public int Count => entries.Length;

    /// <summary>How many tokens a sequence has, and how many of them are its prefix.</summary>
    public (int Length, int Prefix) ShapeOf(int sequence) => entries[sequence];

    /// <summary>A sequence.</summary>
    /// <exception cref="InvalidDataException">An id is not below the vocabulary's size, or a role is not known.</exception>
    public TokenSequence this[int sequence]
    {
        get
        {
            var (length, prefix) = entries[sequence];
            var (ids, roles) = (new int[length], new TokenRole[length]);
            var stored = file.Span(idsAt + starts[sequence] * idBytes, length * idBytes);
            var kinds = file.Span(rolesAt + starts[sequence], length);
            for (int i = 0; i < length; i++)
            {
                ids[i] = idBytes == 2
                    ? BinaryPrimitives.ReadUInt16LittleEndian(stored[(2 * i)..]) : BinaryPrimitives.ReadInt32LittleEndian(stored[(4 * i)..]);
                roles[i] = (TokenRole)kinds[i];
                if (ids[i] < 0 || ids[i] >= VocabularySize || roles[i] > TokenRole.Padding)
                    throw file.Bad($"sequence {sequence} holds token {ids[i]} of role {kinds[i]}; ids below {VocabularySize} and roles to {(int)TokenRole.Padding} are known");
            }
            return new(ids, roles, prefix);
        }
    }

    /// <summary>Writes sequences, whole or not at all.</summary>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(string path, int vocabularySize, IReadOnlyList<TokenSequence> sequences)
    {
        if (sequences.Count == 0) throw new InvalidDataException($"{path}: there are no sequences to write; give more text.");
        int width = vocabularySize <= ushort.MaxValue + 1 ? 2 : 4;
        AtomicFile.Write(path, stream =>
        {
            using var writer = new BinaryWriter(new BufferedStream(stream, 1 << 20), Encoding.UTF8, leaveOpen: true);   // flushed when disposed
            writer.Write(Magic);
            writer.Write(width);
            writer.Write(vocabularySize);
            writer.Write((long)sequences.Count);
            writer.Write(sequences.Sum(sequence => (long)sequence.Ids.Count));
            foreach (var sequence in sequences)
            {
                writer.Write(sequence.Ids.Count);
                writer.Write(sequence.PrefixLength);
            }
            foreach (int id in sequences.SelectMany(sequence => sequence.Ids))
            {
                if (width == 2) writer.Write((ushort)id);
                else writer.Write(id);
            }
            foreach (var sequence in sequences) writer.Write(MemoryMarshal.AsBytes<TokenRole>([.. sequence.Roles]));
        });
    }

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();

    private void ReadEntries()
    {
        long reached = 0;
        for (int i = 0; i < entries.Length; i++)
        {
            var entry = file.Span(HeaderBytes + (long)EntryBytes * i, EntryBytes);
            int length = BinaryPrimitives.ReadInt32LittleEndian(entry), prefix = BinaryPrimitives.ReadInt32LittleEndian(entry[4..]);
            if (length < 2 || prefix < 0 || prefix >= length)
                throw file.Bad($"sequence {i} has {length} tokens and a prefix of {prefix}; at least 2, and a prefix within them, are needed");
            (starts[i], entries[i]) = (reached, (length, prefix));
            reached += length;
        }
        if (reached != Tokens) throw file.Bad($"its sequences have {reached} tokens, of which the file holds {Tokens}; make it again");
    }
}
