namespace ReadTwice.Tokenizers;

/// <summary>Finds, among many strings, those that a text begins with.</summary>
internal sealed class Trie
{
    /// <summary>The node before any character.</summary>
    public const int Root = 0;

    private readonly Dictionary<long, int> children = [];
    private readonly List<int> values = [-1];

    /// <summary>Adds a string and its value, which is not negative; the later of two equal strings counts.</summary>
    public void Add(ReadOnlySpan<char> key, int value)
    {
        int node = Root;
        foreach (char character in key)
        {
            if (!children.TryGetValue(Edge(node, character), out int child))
            {
                child = values.Count;
                values.Add(-1);
                children.Add(Edge(node, character), child);
            }
            node = child;
        }
        values[node] = value;
    }

    /// <summary>Follows one character; false where no string goes on with it.</summary>
    public bool Step(ref int node, char character) => children.TryGetValue(Edge(node, character), out node);

    /// <summary>The value of the string that ends at this node, or -1.</summary>
    public int Value(int node) => values[node];

    /// <summary>The length and value of the longest string that the text begins with; 0 and -1 if none.</summary>
    public (int Length, int Value) Longest(ReadOnlySpan<char> text)
    {
        var longest = (Length: 0, Value: -1);
        int node = Root;
        for (int i = 0; i < text.Length && Step(ref node, text[i]); i++)
            if (values[node] >= 0) longest = (i + 1, values[node]);
        return longest;
    }

    private static long Edge(int node, char character) => ((long)node << 16) | character;
}
