using static ReadTwice.Evaluation.PythonText;

namespace ReadTwice.Evaluation.Tasks;

/// <summary>Attributes of films and universities out of web pages: a key, continued by its value.</summary>
public static class Swde
{
    // After it the data set repeats what is to be found.
    private const string Marker = "Summary of information above...";

    /// <summary>Lines with text, key and value; what follows a text's summary marker is left out.</summary>
    public static RecallTask Task { get; } =
        new("swde", "OpenCeres (Lockard et al., NAACL 2019); Evaporate (arXiv 2304.09433)", Prompt, Read, Fda.Landmarks);

    private static RecallExample Read(JsonLine line)
    {
        string[] parts = line.Text("text").Split(Marker);
        return parts.Length <= 2
            ? Fda.Example(line, parts[0])
            : throw line.Wrong($"field \"text\" holds \"{Marker}\" {parts.Length - 1} times; once is needed, before the part to leave out.");
    }

    private static string Prompt(RecallExample example, Reading reading)
    {
        string key = Fda.Key(example);
        string text = WithoutEndings(example.Document.Split(Marker)[0], example.Question + ":");
        if (RecallTask.IsPlain(reading)) return $"{Strip(Strip(Strip(Strip(Strip(text, '\n')), '\n')), '.')}. {key}:";
        // The authors strip in another order here, so that "word ." keeps its space above and loses it below.
        string document = Strip(Strip(Strip(Strip(Strip(text, '\n'), '.')), '\n'));
        if (!document.EndsWith('.')) document += ".";
        return $"Information about {Strip(key, ':')}. {RecallTask.Copies(document, reading)} {key}:";
    }
}
