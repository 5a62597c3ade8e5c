namespace ReadTwice.Tokenizers;

/// <summary>What a SentencePiece model file says: its pieces, and how a text is made ready for them.</summary>
internal sealed class SentencePieceFile
{
    public enum Kind { Normal = 1, Unknown, Control, UserDefined, Unused, Byte }

    public sealed record Piece(string Text, float Score, Kind Kind);

    public const int Unigram = 1, Bpe = 2;

    public List<Piece> Pieces { get; } = [];
    public long Model { get; private set; } = Unigram;
    public bool HasByteFallback { get; private set; }
    public bool SpacesAreSuffixes { get; private set; }
    public string EndOfText { get; private set; } = "</s>";
    public string UnknownText { get; private set; } = " \u2047 ";
    public byte[] CharacterMap { get; private set; } = [];
    public bool AddsSpace { get; private set; } = true;
    public bool RemovesSpaces { get; private set; } = true;
    public bool EscapesSpaces { get; private set; } = true;

    public SentencePieceFile(ReadOnlySpan<byte> content)
    {
        var model = new ProtobufReader(content);
        while (model.Next())
        {
            if (model.Field == 1) Pieces.Add(ReadPiece(model.AsBytes(), Pieces.Count));
            else if (model.Field == 2) ReadTrainer(model.AsBytes());
            else if (model.Field == 3) ReadNormalizer(model.AsBytes());
        }
        if (Pieces.Count == 0) throw new InvalidDataException("no pieces were found; a SentencePiece model is needed.");
    }

    private static Piece ReadPiece(ReadOnlySpan<byte> content, int id)
    {
        string? text = null;
        float score = 0;
        long kind = (long)Kind.Normal;
        var piece = new ProtobufReader(content);
        while (piece.Next())
        {
            if (piece.Field == 1) text = piece.AsText();
            else if (piece.Field == 2) score = piece.AsFloat();
            else if (piece.Field == 3) kind = piece.AsNumber();
        }
        if (string.IsNullOrEmpty(text)) throw new InvalidDataException(
            $"piece {id} has no text; one or more characters are needed.");
        if (kind is < (long)Kind.Normal or > (long)Kind.Byte)
            throw new InvalidDataException($"piece {id} ({Vocabulary.Quote(text)}) is of type {kind}; types go from 1 to 6.");
        if (!float.IsFinite(score))
            throw new InvalidDataException(
                $"piece {id} ({Vocabulary.Quote(text)}) has score {score}; a finite number is needed.");
        return new(text, score, (Kind)kind);
    }

    private void ReadTrainer(ReadOnlySpan<byte> content)
    {
        var trainer = new ProtobufReader(content);
        while (trainer.Next())
        {
            if (trainer.Field == 3) Model = trainer.AsNumber();
            else if (trainer.Field == 24) SpacesAreSuffixes = trainer.AsFlag();
            else if (trainer.Field == 35) HasByteFallback = trainer.AsFlag();
            else if (trainer.Field == 44) UnknownText = trainer.AsText();
            else if (trainer.Field == 47) EndOfText = trainer.AsText();
        }
    }

    private void ReadNormalizer(ReadOnlySpan<byte> content)
    {
        var normalizer = new ProtobufReader(content);
        while (normalizer.Next())
        {
            if (normalizer.Field == 2) CharacterMap = normalizer.AsBytes().ToArray();
            else if (normalizer.Field == 3) AddsSpace = normalizer.AsFlag();
            else if (normalizer.Field == 4) RemovesSpaces = normalizer.AsFlag();
            else if (normalizer.Field == 5) EscapesSpaces = normalizer.AsFlag();
        }
    }
}
