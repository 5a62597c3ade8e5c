using System.Text;

namespace ReadTwice;

/// <summary>A token for each byte of UTF-8, and one that ends a text: for models without a vocabulary of their own.</summary>
public sealed class ByteTokenizer : Tokenizer
{
    private static readonly byte[] bytes = [.. Enumerable.Range(0, 256).Select(value => (byte)value)];

    /// <inheritdoc/>
    public override int VocabularySize => 257;

    /// <inheritdoc/>
    public override int? EndOfText => 256;

    /// <inheritdoc/>
    public override string Hash { get; } = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData("bytes"u8));

    /// <inheritdoc/>
    public override IReadOnlyList<int> Encode(string text) => [.. Encoding.UTF8.GetBytes(text).Select(value => (int)value)];

    /// <inheritdoc/>
    public override ReadOnlySpan<byte> Bytes(int id)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(id, VocabularySize);
        return id == EndOfText ? [] : bytes.AsSpan(id, 1);
    }
}
