using System.Text.Json.Nodes;
using ReadTwice.Checkpoints;
using ReadTwice.Models;

namespace ReadTwice.Tests.Models;

/// <summary>Configs whose sizes make no model.</summary>
public sealed class ConfigSizesTests
{
    [Theory, MemberData(nameof(TestModels.Families), MemberType = typeof(TestModels))]
    public void A_whole_number_that_makes_no_model_is_refused_in_one_line(string family)
    {
        var form = Architectures.All.SelectMany(architecture => architecture.Families).Single(each => each.Name == family);
        var wrong = new List<string>();
        foreach (var (where, number) in WholeNumbers(JsonNode.Parse(form.Example)!, ""))
            foreach (long other in (long[])[0, -1, 3])
            {
                var example = JsonNode.Parse(form.Example)!;
                WholeNumbers(example, "").Single(each => each.Path == where).Number.ReplaceWith(other);
                try
                {
                    using var checkpoint = Checkpoint.New(family, ConfigJson.Parse(example.ToJsonString(), "config.json"), new ByteTokenizer(), 1);
                    using var tokens = TestModels.Tokens(checkpoint.Model, 1, 3, seed: 1);
                    using var logits = checkpoint.Model.forward(tokens);
                }
                catch (InvalidDataException refused) when (!refused.Message.Contains('\n'))
                {
                }
                catch (Exception failure)
                {
                    wrong.Add($"{where} = {other}: {failure.GetType().Name}: {failure.Message.Split('\n')[0]}");
                }
            }
        Assert.True(wrong.Count == 0, string.Join("; ", wrong));
    }

    // Every whole number of a config: where it stands, and itself.
    private static IEnumerable<(string Path, JsonValue Number)> WholeNumbers(JsonNode node, string path) => node switch
    {
        JsonObject all => all.Where(each => each.Value is not null).SelectMany(each => WholeNumbers(each.Value!, $"{path}.{each.Key}")),
        JsonArray all => all.Where(each => each is not null).SelectMany((each, i) => WholeNumbers(each!, $"{path}[{i}]")),
        JsonValue value when value.TryGetValue(out long _) => [(path, value)],
        _ => [],
    };
}
