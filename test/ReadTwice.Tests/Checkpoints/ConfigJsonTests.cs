using ReadTwice.Checkpoints;

namespace ReadTwice.Tests.Checkpoints;

public class ConfigJsonTests
{
    [Fact]
    public void Values_are_read_by_key()
    {
        var config = Parse("""{"hidden_size": 64, "eps": 1e-5, "act": "silu", "bias": true, "layers": [1, 3], "lists": ["a"], "mixer": {"dim": 4}}""");
        Assert.Equal(64, config.Long("hidden_size"));
        Assert.Equal(1e-5, config.Double("eps"));
        Assert.Equal("silu", config.String("act"));
        Assert.True(config.Bool("bias", false));
        Assert.Equal([1, 3], config.Longs("layers"));
        Assert.Equal(["a"], config.Strings("lists"));
        Assert.Equal(4, config.Object("mixer")!.Long("dim"));
        Assert.Equal(["act", "bias", "eps", "hidden_size", "layers", "lists", "mixer"], config.Keys);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"key": null}""")]
    public void A_null_counts_as_absent(string text)
    {
        var config = Parse(text);
        Assert.False(config.Has("key"));
        Assert.False(config.IsString("key"));
        Assert.Empty(config.Keys);
        Assert.Equal(5, config.Long("key", 5));
        Assert.Equal(0.5, config.Double("key", 0.5));
        Assert.Equal("none", config.String("key", "none"));
        Assert.True(config.Bool("key", true));
        Assert.Null(config.Object("key"));
        Assert.Null(config.Longs("key"));
        Assert.Null(config.Doubles("key"));
        Assert.Null(config.Strings("key"));
        Assert.Equal("config.json: key is missing; a whole number is needed.", Error(() => config.Long("key")));
    }

    [Fact]
    public void Whole_and_broken_numbers_stand_for_each_other_where_nothing_is_lost()
    {
        var config = Parse("""{"theta": 10000, "size": 2.0, "big": 1e3}""");
        Assert.Equal(10000.0, config.Double("theta"));
        Assert.Equal(2, config.Long("size"));
        Assert.Equal(1000, config.Long("big"));
    }

    [Theory]
    [InlineData("""{"limit": [0.0, Infinity]}""")]
    [InlineData("""{"limit": [0, {"__float__": "Infinity"}]}""")]
    public void Both_of_Pythons_ways_to_write_infinity_are_read(string text) =>
        Assert.Equal([0, double.PositiveInfinity], Parse(text).Doubles("limit")!);

    [Fact]
    public void Bare_words_within_texts_stay_texts()
    {
        var config = Parse("""{"a": "NaN, -Infinity", "b\"Infinity": -Infinity, "c": "\\", "d": NaN}""");
        Assert.Equal("NaN, -Infinity", config.String("a"));
        Assert.Equal(double.NegativeInfinity, config.Double("b\"Infinity"));
        Assert.Equal("\\", config.String("c"));
    }

    [Theory]
    [InlineData("""{"size": "abc"}""", "config.json: size is \"abc\"; a whole number is needed.")]
    [InlineData("""{"size": true}""", "config.json: size is true; a whole number is needed.")]
    [InlineData("""{"size": 2.5}""", "config.json: size is 2.5; a whole number is needed.")]
    [InlineData("""{"size": NaN}""", "config.json: size is NaN; a whole number is needed.")]
    [InlineData("""{"size": -Infinity}""", "config.json: size is -Infinity; a whole number is needed.")]
    [InlineData("""{"size": {"b": [1,  2], "a": 1}}""", "config.json: size is {\"a\":1,\"b\":[1,2]}; a whole number is needed.")]
    [InlineData("""{"size": 9223372036854775808}""", "config.json: size is 9223372036854775808; a whole number that fits 64 bits is needed.")]
    [InlineData("""{"size": 1e999}""", "config.json: size is 1e999; a whole number that fits 64 bits is needed.")]
    public void What_is_no_whole_number_is_an_error_in_one_line(string text, string message) =>
        Assert.Equal(message, Error(() => Parse(text).Long("size", 1)));

    [Fact]
    public void Other_kinds_than_asked_for_are_errors_that_name_the_key()
    {
        var mixer = Parse("""{"mixer": {"a": NaN, "b": "1", "c": 1e999, "d": 1, "e": [1, "x"], "f": Infinity}}""").Object("mixer")!;
        Assert.Equal("config.json: mixer.a is NaN; a number is needed.", Error(() => mixer.Double("a")));
        Assert.Equal("config.json: mixer.b is \"1\"; true or false is needed.", Error(() => mixer.Bool("b", true)));
        Assert.Equal("config.json: mixer.c is 1e999; a number that fits 64 bits, or Infinity, is needed.", Error(() => mixer.Double("c")));
        Assert.Equal("config.json: mixer.d is 1; a text is needed.", Error(() => mixer.String("d")));
        Assert.Equal("config.json: mixer.d is 1; an object in braces is needed.", Error(() => mixer.Object("d")));
        Assert.Equal("config.json: mixer.d is 1; a list of numbers is needed.", Error(() => mixer.Doubles("d")));
        Assert.Equal("config.json: mixer.e[1] is \"x\"; a whole number is needed.", Error(() => mixer.Longs("e")));
        Assert.Equal("config.json: mixer.f is Infinity; an object in braces is needed.", Error(() => mixer.Object("f")));
        Assert.Equal("config.json: mixer.g is missing; a text is needed.", Error(() => mixer.String("g")));
    }

    [Fact]
    public void Broken_JSON_is_placed_by_line_and_column()
    {
        Assert.StartsWith("config.json: line 2, column 5 is not valid JSON; ", Error(() => Parse("{\"a\": 1,\n\"b\" 2}")));
        Assert.StartsWith("config.json: line 1, column 15 is not valid JSON; ", Error(() => Parse("{\"a\":Infinity x}")));
        Assert.StartsWith("config.json: line 1, column 1 is not valid JSON; ", Error(() => Parse("")));
    }

    [Theory]
    [InlineData("[1]", "config.json: the file holds [1]; an object in braces is needed.")]
    [InlineData("Infinity", "config.json: the file holds Infinity; an object in braces is needed.")]
    [InlineData("""{"a": "\ud800"}""", "config.json: the file holds half a character (a lone surrogate); valid Unicode is needed.")]
    [InlineData("""{"a": {"\ud800": 1}}""", "config.json: the file holds half a character (a lone surrogate); valid Unicode is needed.")]
    public void What_is_no_object_of_valid_text_is_an_error(string text, string message) => Assert.Equal(message, Error(() => Parse(text)));

    [Theory]
    [InlineData("{\"a\":1")]
    [InlineData("{\"a\":Infinity2}")]
    [InlineData("{\"a\":1Infinity}")]
    [InlineData("{\"a\":--Infinity}")]
    [InlineData("{\"a\":infinity}")]
    [InlineData("{\"a\":\"unended}")]
    [InlineData("{\"a\":1} {}")]
    [InlineData("{\"a\":3-Infinity}")]
    public void Broken_JSON_is_refused(string text) => Assert.Contains("is not valid JSON", Error(() => Parse(text)));

    [Fact]
    public void Nesting_without_end_is_refused() => Error(() => Parse("{\"a\":" + new string('[', 100_000)));

    [Fact]
    public void Configs_that_say_the_same_have_the_same_text()
    {
        var config = Parse("""{"b": {"y": [1, null, -Infinity], "x": "ä\"\n"}, "a": {"__float__": "NaN"}}""");
        var same = Parse("{\n  \"a\": NaN,\n  \"b\": {\"x\": \"\\u00e4\\\"\\n\", \"y\": [1,null,-Infinity]}\n}");
        Assert.Equal(config.ToString(), same.ToString());
        Assert.StartsWith("{\"a\":NaN,\"b\":{\"x\":", config.ToString());
        Assert.EndsWith("\"y\":[1,null,-Infinity]}}", config.ToString());
        Assert.Equal(config.ToString(), Parse(config.ToString()).ToString());
        Assert.NotEqual(config.ToString(), Parse("""{"a": NaN, "b": {"y": [1, null, Infinity], "x": "ä\"\n"}}""").ToString());
    }

    [Fact]
    public void A_missing_file_is_said_to_be_missing() =>
        Assert.StartsWith("nowhere/config.json does not exist", Assert.Throws<FileNotFoundException>(() => ConfigJson.Load("nowhere/config.json")).Message);

    [Fact]
    public void A_file_with_a_byte_order_mark_is_read()
    {
        using var folder = new TempFolder();
        var config = ConfigJson.Load(folder.Write("config.json", [0xef, 0xbb, 0xbf, .. "{\"a\": 1}"u8]));
        Assert.Equal(("config.json", 1), (config.Source, config.Long("a")));
    }

    [Fact]
    public void Every_golden_config_is_read()
    {
        string[] paths = Directory.GetFiles(Shared.Path("golden"), "config.json", SearchOption.AllDirectories);
        Assert.NotEmpty(paths);
        Assert.All(paths, path => Assert.NotEmpty(ConfigJson.Load(path).Keys));
        Assert.Equal([0, double.PositiveInfinity], ConfigJson.Load(Shared.Path("golden", "mamba2-hf", "tiny-a", "config.json")).Doubles("time_step_limit")!);
    }

    private static ConfigJson Parse(string text) => ConfigJson.Parse(text, "folder/config.json");

    private static string Error(Func<object?> read)
    {
        string message = Assert.Throws<InvalidDataException>(read).Message;
        Assert.DoesNotContain('\n', message);
        return message;
    }
}
