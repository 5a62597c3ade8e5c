using System.Text.Json;

namespace ReadTwice.Tokenizers;

/// <summary>The "normalizer" of a tokenizer.json: what is done to a text before it is cut.</summary>
internal static class Normalizers
{
    public static Func<string, string> Read(JsonElement? element) => element is null ? text => text : Read(element.Value);

    private static Func<string, string> Read(JsonElement element)
    {
        switch (element.Type())
        {
            case "NFC":
                return CanonicalForm.Compose;
            case "NFD":
                return CanonicalForm.Decompose;
            case "Prepend":
                string prefix = element.NeedText("prepend");
                return text => text.Length > 0 ? prefix + text : text;
            case "Replace":
                var pattern = Pattern(element);
                string content = element.NeedText("content");
                return text => pattern.Replace(text, content);
            case "Sequence":
                Func<string, string>[] steps =
                    [.. element.Need("normalizers", JsonValueKind.Array).EnumerateArray().Select(Read)];
                return text => steps.Aggregate(text, (done, step) => step(done));
            default:
                throw new InvalidDataException($"normalizer {Vocabulary.Quote(element.Type())} is not supported; " +
                    "NFC, NFD, Prepend, Replace and Sequence are.");
        }
    }

    /// <summary>The "pattern" of an element: {"String": ...} or {"Regex": ...}.</summary>
    public static TextPattern Pattern(JsonElement element)
    {
        var pattern = element.Need("pattern", JsonValueKind.Object);
        return pattern.Find("Regex") is null
            ? TextPattern.Literal(pattern.NeedText("String"))
            : TextPattern.Expression(pattern.NeedText("Regex"));
    }
}
