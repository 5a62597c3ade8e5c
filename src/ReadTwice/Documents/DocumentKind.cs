namespace ReadTwice.Documents;

/// <summary>What a document's bytes are.</summary>
public enum DocumentKind
{
    /// <summary>Text as it is, Markdown too: UTF-8, or UTF-16 with a byte order mark.</summary>
    Text,

    /// <summary>A web page.</summary>
    Html,

    /// <summary>PDF with text in it, rather than pictures of text.</summary>
    Pdf,
}
