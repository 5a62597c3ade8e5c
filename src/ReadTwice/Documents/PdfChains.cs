using System.Text;
using UglyToad.PdfPig;
using UglyToad.PdfPig.Core;
using UglyToad.PdfPig.Filters;
using UglyToad.PdfPig.Tokenization.Scanner;
using UglyToad.PdfPig.Tokens;

namespace ReadTwice.Documents;

/// <summary>Refuses a PDF in which a chain of objects is endless or nearly so, where the library would follow it until the stack is full.</summary>
/// <remarks>
/// The chains are of references to references, and of trees by their Kids. Objects are looked for everywhere in the file and in its object
/// streams, but for encrypted ones.
/// </remarks>
internal sealed class PdfChains
{
    private const int MostLinks = 256;
    private const int MostNesting = 256;

    // Most objects end so soon; those that do, and do not hold one of these words, are no links and no object streams.
    private const int Short = 4096;

    private readonly Dictionary<long, List<long>> links = [];

    /// <exception cref="InvalidDataException">There is such a chain.</exception>
    public static void Require(ReadOnlyMemory<byte> file)
    {
        var chains = new PdfChains();
        int at = 0;
        for (int found; (found = file.Span[at..].IndexOf("obj"u8)) >= 0; at += found + 3)
        {
            if (ObjectNumber(file.Span[..(at + found)]) is { } number) chains.Add(number, file[(at + found + 3)..]);
        }
        chains.RequireShort();
    }

    // The first of the two numbers that stand before "obj".
    private static long? ObjectNumber(ReadOnlySpan<byte> before)
    {
        string[] words = Encoding.Latin1.GetString(before[Math.Max(0, before.Length - 32)..]).Split(['\0', '\t', '\n', '\f', '\r', ' ']);
        string[] last = [.. words.Where((word, i) => word.Length > 0 || i == words.Length - 1).TakeLast(3)];
        // Both "12 0 obj" and "12 0obj" are objects.
        if (last is [_, _, ""]) last = last[..2];
        return last.Length >= 2 && int.TryParse(last[^1], out _) && long.TryParse(TrailingDigits(last[^2]), out long number) ? number : null;
    }

    private static string TrailingDigits(string word) => word[word.TrimEnd([.. "0123456789"]).Length..];

    private void Add(long number, ReadOnlyMemory<byte> body)
    {
        var start = body.Span[..Math.Min(Short, body.Length)];
        int end = start.IndexOf("endobj"u8);
        if (end >= 0 && start.TrimStart(" \t\r\n\f\0"u8) is [(byte)'<', ..] && start[..end].IndexOf("Kids"u8) < 0
            && start[..end].IndexOf("ObjStm"u8) < 0 && start[..end].IndexOf((byte)'#') < 0) return;

        var tokens = Tokens(body);
        if (!MoveNext(tokens)) return;
        switch (tokens.CurrentToken)
        {
            case NumericToken target when MoveNext(tokens) && tokens.CurrentToken is NumericToken
                && MoveNext(tokens) && tokens.CurrentToken is OperatorToken { Data: "R" }:
                Link(number, target.Long);
                break;
            case ArrayToken array:
                Link(number, array);
                break;
            case DictionaryToken dictionary:
                if (dictionary.TryGet(NameToken.Kids, out var kids)) Link(number, kids);
                if (dictionary.TryGet(NameToken.Type, out NameToken type) && type.Data == "ObjStm") AddStream(dictionary, body);
                break;
        }
    }

    private void AddStream(DictionaryToken dictionary, ReadOnlyMemory<byte> body)
    {
        int start = body.Span.IndexOf("stream"u8) + "stream".Length;
        int length = body.Span[start..].IndexOf("endstream"u8);
        if (length < 0 || !dictionary.TryGet(NameToken.First, out NumericToken first)) return;
        if (body.Span[start] == '\r') start++;
        if (body.Span[start] == '\n') start++;
        ReadOnlyMemory<byte> objects;
        try
        {
            objects = new StreamToken(dictionary, body[start..].ToArray()).Decode(DefaultFilterProvider.Instance);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // Encrypted or damaged: what the library cannot decode either, it cannot follow.
            return;
        }

        var header = Tokens(objects);
        while (MoveNext(header) && header.CurrentToken is NumericToken number
            && MoveNext(header) && header.CurrentToken is NumericToken offset && header.CurrentPosition <= first.Long)
        {
            long at = first.Long + offset.Long;
            if (at >= 0 && at < objects.Length) Add(number.Long, objects[(int)at..]);
        }
    }

    private void Link(long from, IToken to)
    {
        if (to is IndirectReferenceToken reference) Link(from, reference.Data.ObjectNumber);
        else if (to is ArrayToken array)
        {
            foreach (var item in array.Data)
                if (item is IndirectReferenceToken target) Link(from, target.Data.ObjectNumber);
        }
    }

    private void Link(long from, long to)
    {
        if (!links.TryGetValue(from, out var targets)) links[from] = targets = [];
        targets.Add(to);
    }

    private void RequireShort()
    {
        // The links below an object; 0 while they are being counted, so that meeting a 0 is coming round to where one was.
        var heights = new Dictionary<long, int>();
        var open = new Stack<long>();
        foreach (long root in links.Keys)
        {
            open.Push(root);
            while (open.TryPeek(out long number))
            {
                if (heights.TryGetValue(number, out int height))
                {
                    open.Pop();
                    if (height > 0) continue;
                    heights[number] = 1 + links[number].Max(target => heights.GetValueOrDefault(target));
                    if (heights[number] > MostLinks) throw TooLong(number, $"more than {MostLinks} objects");
                    continue;
                }
                heights[number] = 0;
                foreach (long target in links[number])
                {
                    if (!links.ContainsKey(target)) continue;
                    if (!heights.TryGetValue(target, out int counted)) open.Push(target);
                    else if (counted == 0) throw TooLong(number, "itself");
                }
            }
        }
    }

    private static InvalidDataException TooLong(long number, string what) => new($"object {number} leads to {what}");

    private static CoreTokenScanner Tokens(ReadOnlyMemory<byte> bytes) =>
        new(new MemoryInputBytes(bytes), usePdfDocEncoding: false, new StackDepthGuard(MostNesting), useLenientParsing: true);

    // What cannot be read as a token here is nothing the library could follow.
    private static bool MoveNext(CoreTokenScanner tokens)
    {
        try
        {
            return tokens.MoveNext();
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            return false;
        }
    }
}
