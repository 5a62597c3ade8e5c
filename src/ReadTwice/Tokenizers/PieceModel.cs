namespace ReadTwice.Tokenizers;

/// <summary>Cuts a piece of text, which no token reaches beyond, into tokens.</summary>
internal abstract class PieceModel
{
    /// <summary>Appends the ids of the piece; half surrogate pairs are gone from it.</summary>
    public abstract void Encode(ReadOnlySpan<char> piece, List<int> ids);
}
