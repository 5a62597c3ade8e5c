using System.Text.Json;

namespace ReadTwice.Tokenizers;

/// <summary>Reads members of a JSON file of unknown quality: what is wrong is said by name.</summary>
internal static class Json
{
    /// <summary>A member, or null if it is absent or null.</summary>
    public static JsonElement? Find(this JsonElement parent, string name) =>
        parent.ValueKind == JsonValueKind.Object && parent.TryGetProperty(name, out var member) &&
        member.ValueKind != JsonValueKind.Null ? member : null;

    /// <summary>A member that must be there.</summary>
    public static JsonElement Need(this JsonElement parent, string name, JsonValueKind kind)
    {
        var member = parent.Find(name) ?? throw new InvalidDataException($"\"{name}\" is missing; {Name(kind)} is needed.");
        return member.ValueKind == kind
            ? member : throw new InvalidDataException($"\"{name}\" is {Name(member.ValueKind)}; {Name(kind)} is needed.");
    }

    public static string NeedText(this JsonElement parent, string name) => parent.Need(name, JsonValueKind.String).GetString()!;

    /// <summary>The value of a member that names what its parent is.</summary>
    public static string Type(this JsonElement parent) => parent.NeedText("type");

    public static int NeedId(this JsonElement parent, string name) => parent.Need(name, JsonValueKind.Number).Id(name);

    /// <summary>A whole number; the name is for the message.</summary>
    public static int Id(this JsonElement number, string name) =>
        number.ValueKind == JsonValueKind.Number && number.TryGetInt32(out int id) ? id :
        throw new InvalidDataException(
            $"{Vocabulary.Quote(name)} is {Vocabulary.Quote(number.GetRawText())}; a token id is needed.");

    /// <summary>A member that is true or false, with the value of an absent one.</summary>
    public static bool Flag(this JsonElement parent, string name, bool otherwise) => parent.Find(name)?.ValueKind switch
    {
        null => otherwise,
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        { } kind => throw new InvalidDataException($"\"{name}\" is {Name(kind)}; true or false is needed."),
    };

    private static string Name(JsonValueKind kind) => kind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        _ => kind.ToString().ToLowerInvariant(),
    };
}
