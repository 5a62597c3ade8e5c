using System.Text;

namespace ReadTwice.Tokenizers;

/// <summary>Reads a SentencePiece model (Llama, Mistral): byte-pair encoding or unigram, a space written "▁".</summary>
/// <remarks>Control pieces such as "&lt;s>" are never found in text, and decode to nothing.</remarks>
internal static class SentencePiece
{
    private const string Space = "\u2581";

    // Looking at every way to cut a piece in two takes the square of its length; real pieces have at most some dozens.
    private const int LongestMerged = 512;

    public static Tokenizer Read(byte[] content, string hash)
    {
        var file = new SentencePieceFile(content);
        if (file.SpacesAreSuffixes)
            throw new InvalidDataException("the model treats whitespace as a suffix; only whitespace before words is supported.");

        var vocabulary = ReadVocabulary(file);
        var users = new AddedTokens(file.Pieces.Index().Where(piece => piece.Item.Kind == SentencePieceFile.Kind.UserDefined)
            .Select(piece => new AddedToken(piece.Item.Text, piece.Index)));
        PieceModel model = file.Model switch
        {
            SentencePieceFile.Bpe => new Bpe(vocabulary, Merges(file, vocabulary)),
            SentencePieceFile.Unigram => new Unigram(vocabulary, file.Pieces),
            _ => throw new InvalidDataException($"the model is of type {file.Model}; unigram (1) and BPE (2) are supported."),
        };
        int? endOfText = vocabulary.Find(file.EndOfText, "<|endoftext|>");
        return new PipelineTokenizer(vocabulary, model, PreTokenizers.Whole, hash, endOfText)
        {
            Normalize = Normalizer(file, users),
            AddedToNormalized = new(file.Model == SentencePieceFile.Bpe ? users.All : []),
            DropsLeadingSpace = file.AddsSpace || file.RemovesSpaces,
        };
    }

    private static Vocabulary ReadVocabulary(SentencePieceFile file)
    {
        var vocabulary = new Vocabulary { FusesUnknown = true };
        int[] byteIds = new int[256];
        Array.Fill(byteIds, -1);
        for (int id = 0; id < file.Pieces.Count; id++)
        {
            var (text, _, kind) = file.Pieces[id];
            byte[] bytes = kind switch
            {
                SentencePieceFile.Kind.Control => [],
                SentencePieceFile.Kind.Unknown => Encoding.UTF8.GetBytes(file.UnknownText),
                SentencePieceFile.Kind.Byte => [TokenSpelling.Byte(text) ?? throw new InvalidDataException(
                    $"piece {id} ({Vocabulary.Quote(text)}) is a byte; it must be written as <0x00> to <0xFF>.")],
                _ => Encoding.UTF8.GetBytes(text.Replace(Space, " ", StringComparison.Ordinal)),
            };
            bool hidden = kind is SentencePieceFile.Kind.Control or SentencePieceFile.Kind.Unknown or SentencePieceFile.Kind.Byte;
            vocabulary.Add(text, id, bytes, hidden);
            if (kind == SentencePieceFile.Kind.Unknown) vocabulary.UnknownId = id;
            else if (kind == SentencePieceFile.Kind.Byte) byteIds[bytes[0]] = id;
        }
        int absent = Array.IndexOf(byteIds, -1);
        if (file.HasByteFallback && absent >= 0)
            throw new InvalidDataException(
                $"the model falls back to bytes and has no piece {TokenSpelling.ByteToken(absent)}; all 256 are needed.");
        vocabulary.ByteIds = file.HasByteFallback ? byteIds : null;
        return vocabulary;
    }

    /// <summary>Any two pieces whose joined text is a piece may be joined, that of the best score first.</summary>
    private static List<(int, int, int, int)> Merges(SentencePieceFile file, Vocabulary vocabulary)
    {
        var ranks = file.Pieces.Select(piece => piece.Score).Distinct().OrderDescending().Index()
            .ToDictionary(rank => rank.Item, rank => rank.Index);
        var merges = new List<(int, int, int, int)>();
        for (int id = 0; id < file.Pieces.Count; id++)
        {
            var (text, score, kind) = file.Pieces[id];
            if (kind == SentencePieceFile.Kind.Unused)
                throw new InvalidDataException(
                    $"piece {id} ({Vocabulary.Quote(text)}) is unused; a BPE model without unused pieces is needed.");
            if (kind != SentencePieceFile.Kind.Normal) continue;
            if (text.Length > LongestMerged)
                throw new InvalidDataException(
                    $"piece {id} has {text.Length} characters; at most {LongestMerged} are supported.");
            for (int cut = 1; cut < text.Length; cut++)
                if (vocabulary.TryGetId(text.AsSpan(0, cut), out int left) &&
                    vocabulary.TryGetId(text.AsSpan(cut), out int right)) merges.Add((left, right, ranks[score], id));
        }
        return merges;
    }

    private static Func<string, string> Normalizer(SentencePieceFile file, AddedTokens users)
    {
        string space = file.EscapesSpaces ? Space : " ";
        var map = file.CharacterMap.Length > 0 ? new CharacterMap(file.CharacterMap) : null;
        return text =>
        {
            if (map is not null)
                text = string.Concat(users.Split(text).Select(part => part.Id is null ? map.Apply(part.Text) : part.Text));
            if (file.RemovesSpaces) text = string.Join(' ', text.Split(' ', StringSplitOptions.RemoveEmptyEntries));
            if (text.Length == 0) return text;
            return (file.AddsSpace ? space : "") + text.Replace(" ", space, StringComparison.Ordinal);
        };
    }
}
