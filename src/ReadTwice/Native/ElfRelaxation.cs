using System.Buffers.Binary;
using System.Text;

namespace ReadTwice.Native;

/// <summary>Lets TorchSharp's library load where the C++ runtime is older than the one it was built with.</summary>
/// <remarks>
/// The library asks for GLIBCXX_3.4.32 because of one symbol, which only sets up iostreams; libtorch has done that already.
/// In a copy of the file the symbol takes the name of a function without arguments or effect that is imported anyway, and
/// the version that is asked for becomes one that every supported host has. Nothing else differs, and no file is changed.
/// </remarks>
internal sealed class ElfRelaxation(byte[] image)
{
    private const string Symbol = "_ZSt21ios_base_library_initv", Harmless = "_ZN3c108GradMode10is_enabledEv";
    private const string Asked = "GLIBCXX_3.4.32", Present = "GLIBCXX_3.4.21";
    private const uint DynamicSymbols = 11, VersionNeeds = 0x6ffffffe, VersionSymbols = 0x6fffffff;
    private const ushort AnyVersion = 1;

    /// <summary>Changes the image in place; false where it does not look as expected, and then nothing has changed.</summary>
    public bool Apply()
    {
        var symbols = Section(DynamicSymbols);
        var needs = Section(VersionNeeds);
        var versions = Section(VersionSymbols);
        if (symbols is null || needs is null || versions is null) return false;
        long names = U64(SectionHeader((int)symbols.Value.Link) + 24);

        long symbol = -1, symbolIndex = -1;
        uint harmlessName = 0;
        for (long i = 0; i < symbols.Value.Size / 24; i++)
        {
            long entry = symbols.Value.Offset + i * 24;
            string name = Text(names + U32(entry));
            if (name == Symbol) (symbol, symbolIndex) = (entry, i);
            else if (name == Harmless) harmlessName = U32(entry);
        }

        var (asked, present) = (Need(needs.Value.Offset, names, Asked), Need(needs.Value.Offset, names, Present));
        if (symbol < 0 || harmlessName == 0 || asked < 0 || present < 0) return false;

        BinaryPrimitives.WriteUInt32LittleEndian(At(symbol), harmlessName);
        BinaryPrimitives.WriteUInt16LittleEndian(At(versions.Value.Offset + symbolIndex * 2), AnyVersion);
        BinaryPrimitives.WriteUInt32LittleEndian(At(asked), U32(present));           // the hash of the name
        BinaryPrimitives.WriteUInt32LittleEndian(At(asked + 8), U32(present + 8));   // the name
        return true;
    }

    private (long Offset, long Size, uint Link)? Section(uint type)
    {
        for (int i = 0; i < U16(0x3C); i++)
        {
            long header = SectionHeader(i);
            if (U32(header + 4) == type) return (U64(header + 24), U64(header + 32), U32(header + 40));
        }
        return null;
    }

    private long SectionHeader(int index) => U64(0x28) + (long)index * U16(0x3A);

    // The list of needed versions: per library a header, then a chain of entries, each with the offset of the next.
    private long Need(long library, long names, string version)
    {
        while (true)
        {
            long entry = library + U32(library + 8);
            for (int i = 0; i < U16(library + 2); i++, entry += U32(entry + 12))
                if (Text(names + U32(entry + 8)) == version) return entry;
            if (U32(library + 12) == 0) return -1;
            library += U32(library + 12);
        }
    }

    private string Text(long offset)
    {
        var rest = image.AsSpan((int)offset);
        return Encoding.ASCII.GetString(rest[..rest.IndexOf((byte)0)]);
    }

    private Span<byte> At(long offset) => image.AsSpan((int)offset);
    private long U64(long offset) => (long)BinaryPrimitives.ReadUInt64LittleEndian(At(offset));
    private uint U32(long offset) => BinaryPrimitives.ReadUInt32LittleEndian(At(offset));
    private ushort U16(long offset) => BinaryPrimitives.ReadUInt16LittleEndian(At(offset));
}
