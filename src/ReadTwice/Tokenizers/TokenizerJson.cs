using System.Text.Json;

namespace ReadTwice.Tokenizers;

/// <summary>Reads a tokenizer.json: byte-pair encoding over bytes, as in GPT-NeoX, or over characters, as in Llama.</summary>
/// <remarks>The "post_processor" is ignored, since no begin-of-text or end-of-text token is added; so is dropout.</remarks>
internal static class TokenizerJson
{
    public static Tokenizer Read(byte[] content, string hash)
    {
        using var document = JsonDocument.Parse(content);
        var root = document.RootElement;
        var model = root.Need("model", JsonValueKind.Object);
        RequireBpe(model);

        var spelling = new TokenSpelling(root.Find("decoder"), root.Find("pre_tokenizer"));
        var vocabulary = ReadVocabulary(model, spelling);
        var bpe = new Bpe(vocabulary, ReadMerges(model, vocabulary), model.Flag("ignore_merges", false));
        var normalize = Normalizers.Read(root.Find("normalizer"));
        var (raw, normalized) = ReadAddedTokens(root, vocabulary, spelling, normalize);
        var preTokenizer = PreTokenizers.Read(root.Find("pre_tokenizer"));
        return new PipelineTokenizer(vocabulary, bpe, preTokenizer, hash, vocabulary.FindEndOfText())
        {
            Normalize = normalize,
            AddedToRaw = new(raw),
            AddedToNormalized = new(normalized),
            DropsLeadingSpace = spelling.DropsLeadingSpace,
        };
    }

    private static void RequireBpe(JsonElement model)
    {
        // Files of before 2021 do not name the type.
        string type = model.Find("type") is null && model.Find("merges") is not null ? "BPE" : model.Type();
        if (type != "BPE")
            throw new InvalidDataException($"the model is {Vocabulary.Quote(type)}; BPE is needed. " +
                "If a tokenizer.model is beside this file, give that.");
        foreach (string affix in (string[])["continuing_subword_prefix", "end_of_word_suffix"])
            if (model.Find(affix) is not null && model.NeedText(affix).Length > 0)
                throw new InvalidDataException(
                    $"the model has \"{affix}\" {Vocabulary.Quote(model.NeedText(affix))}; only models without are supported.");
    }

    private static Vocabulary ReadVocabulary(JsonElement model, TokenSpelling spelling)
    {
        var vocabulary = new Vocabulary();
        foreach (var token in model.Need("vocab", JsonValueKind.Object).EnumerateObject())
            vocabulary.Add(token.Name, token.Value.Id(token.Name), spelling.Bytes(token.Name));

        if (model.Find("unk_token") is not null)
        {
            string unknown = model.NeedText("unk_token");
            vocabulary.UnknownId = vocabulary.TryGetId(unknown, out int id) ? id :
                throw new InvalidDataException(
                    $"\"unk_token\" {Vocabulary.Quote(unknown)} is not in the vocabulary; it must be.");
        }
        vocabulary.FusesUnknown = model.Flag("fuse_unk", false);
        if (model.Flag("byte_fallback", false)) vocabulary.ByteIds = [.. Enumerable.Range(0, 256).Select(ByteId)];
        return vocabulary;

        int ByteId(int value) => vocabulary.TryGetId(TokenSpelling.ByteToken(value), out int id) ? id :
            throw new InvalidDataException("\"byte_fallback\" is true, and " +
                $"{TokenSpelling.ByteToken(value)} is not in the vocabulary; all 256 are needed.");
    }

    private static List<(int, int, int, int)> ReadMerges(JsonElement model, Vocabulary vocabulary)
    {
        var merges = new List<(int, int, int, int)>();
        foreach (var merge in model.Need("merges", JsonValueKind.Array).EnumerateArray())
        {
            string[] parts = merge.ValueKind == JsonValueKind.String
                ? merge.GetString()!.Split(' ') : [.. merge.EnumerateArray().Select(part => part.GetString() ?? "")];
            merges.Add(Merge(parts, merges.Count, vocabulary));
        }
        return merges;
    }

    /// <summary>A merge of two tokens, by their ids.</summary>
    internal static (int Left, int Right, int Rank, int Id) Merge(string[] parts, int rank, Vocabulary vocabulary)
    {
        if (parts.Length != 2)
            throw new InvalidDataException($"merge {rank} is {Quoted()}; two tokens and a space between are needed.");
        return (Id(parts[0]), Id(parts[1]), rank, Id(parts[0] + parts[1]));

        int Id(string token) => vocabulary.TryGetId(token, out int id) ? id : throw new InvalidDataException(
            $"merge {rank} ({Quoted()}) needs token {Vocabulary.Quote(token)}, which the vocabulary lacks.");

        string Quoted() => Vocabulary.Quote(string.Join(' ', parts));
    }

    private static (List<AddedToken> Raw, List<AddedToken> Normalized) ReadAddedTokens(
        JsonElement root, Vocabulary vocabulary, TokenSpelling spelling, Func<string, string> normalize)
    {
        var (raw, normalized) = (new List<AddedToken>(), new List<AddedToken>());
        if (root.Find("added_tokens") is null) return (raw, normalized);
        foreach (var element in root.Need("added_tokens", JsonValueKind.Array).EnumerateArray())
        {
            string content = element.NeedText("content");
            // A token that the model has too keeps the model's id.
            if (!vocabulary.TryGetId(content, out int id))
                vocabulary.Add(content, id = element.NeedId("id"), spelling.AddedBytes(content), hidden: true);

            bool isNormalized = element.Flag("normalized", !element.Flag("special", false));
            (isNormalized ? normalized : raw).Add(new(isNormalized ? normalize(content) : content, id,
                element.Flag("single_word", false), element.Flag("lstrip", false), element.Flag("rstrip", false)));
        }
        return (raw, normalized);
    }
}
