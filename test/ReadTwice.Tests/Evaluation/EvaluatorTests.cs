using ReadTwice.Evaluation;
using ReadTwice.Evaluation.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Evaluation;

public sealed class EvaluatorTests
{
    private static readonly RecallExample example = new($"{new string('x', 300)} Panel: Chemistry (75) {new string('y', 300)}", "panel", ["Chemistry (75)"]) { Id = "K1" };

    [Fact]
    public void The_prompt_is_the_tasks_of_the_cut_document_and_the_answer_ends_at_a_line_break()
    {
        using var model = new Parrot(" Chemistry (75)\nand more");
        foreach (var reading in (Reading[])[Reading.Once, Reading.Twice])
        {
            var prediction = new Evaluator(Fda.Task, model, new ByteTokenizer()).Predict(example, 3, new(reading, 150))!;
            var cut = ContextCut.Cut(Fda.Task, example, new ByteTokenizer(), 100)!;
            Assert.Equal(Fda.Task.Prompt(cut, reading), model.Read);
            Assert.Equal((" Chemistry (75)", 1.0, 3, "K1"), (prediction.Text, prediction.Score, prediction.Example, prediction.Document));
            Assert.Equal(model.Read.Length, prediction.PromptTokens);
        }
    }

    [Fact]
    public void A_wrong_answer_scores_0_and_at_most_48_tokens_are_written()
    {
        using var model = new Parrot(new string('z', 100));
        var prediction = new Evaluator(Fda.Task, model, new ByteTokenizer()).Predict(example, 0, new(Reading.Once, 150))!;
        Assert.Equal((new string('z', 48), 0.0), (prediction.Text, prediction.Score));
    }

    [Fact]
    public void An_example_with_an_answer_of_one_character_is_left_out()
    {
        using var model = new Parrot("x");
        Assert.Null(new Evaluator(Fda.Task, model, new ByteTokenizer()).Predict(example with { Answers = ["C"] }, 0, new(Reading.Once, 150)));
    }

    [Theory]
    [InlineData("once", 1, PrefixFilling.None), InlineData("twice", 2, PrefixFilling.None), InlineData("padded", 1, PrefixFilling.Padded)]
    [InlineData("iterated", 1, PrefixFilling.Iterated), InlineData("twice+padded", 2, PrefixFilling.Padded), InlineData("3x+iterated", 3, PrefixFilling.Iterated)]
    public void A_condition_is_named_by_how_it_reads(string name, int copies, PrefixFilling prefix)
    {
        var condition = Condition.Named(name, 100);
        Assert.Equal(new(new(copies), 100, prefix), condition);
        Assert.Equal(name, condition.Name);
    }

    [Theory, InlineData("paded"), InlineData("twice+"), InlineData("padded+iterated"), InlineData("")]
    public void What_names_no_condition_is_refused(string name) => Assert.Throws<FormatException>(() => Condition.Named(name, 100));

    [Fact]
    public void Iterated_reads_prompt_and_answer_anew_for_every_token_until_they_are_longer_than_the_prefix()
    {
        using var checkpoint = TestModels.Of("HazyResearch JRT-RNN", seed: 3);
        var model = checkpoint.Model;
        string document = "ABC DEF";
        List<int> read = [.. new ByteTokenizer().Encode(document)];
        Assert.True(read.Count < model.EncoderLength && read.Count + RecallTask.AnswerTokens > model.EncoderLength);
        while (read.Count < document.Length + RecallTask.AnswerTokens && !read.Contains('\n'))
        {
            using var state = model.NewState();
            using var scores = model.Prefill(tensor([.. read.Select(id => (long)id)]).unsqueeze(0), state, Math.Min(read.Count, model.EncoderLength));
            read.Add((int)scores.argmax(1).item<long>());
        }
        string expected = new ByteTokenizer().Decode(read[document.Length..]).Split('\n')[0];

        string Text(string reading) => new Evaluator(plain, model, new ByteTokenizer()).Predict(new(document, "Q", ["right"]), 0, Condition.Named(reading, 100))!.Text;
        Assert.Equal(expected, Text("iterated"));
        Assert.NotEqual(expected, Text("once"));
    }

    [Fact]
    public void Padded_fills_the_prefix_with_spaces_and_iterated_adds_none()
    {
        using var checkpoint = TestModels.Of("HazyResearch JRT-RNN");
        int Read(string reading) => new Evaluator(plain, checkpoint.Model, new ByteTokenizer()).Predict(new("ABC DEF", "Q", ["right"]), 0, Condition.Named(reading, 100))!.PromptTokens;
        Assert.Equal((7, 7, checkpoint.Model.EncoderLength, 14), (Read("once"), Read("iterated"), Read("padded"), Read("twice+padded")));
    }

    // The document is the prompt, as often as it is read.
    private static readonly RecallTask plain = new("plain", "", (example, reading) => string.Concat(Enumerable.Repeat(example.Document, reading.Times)), _ => example, _ => []);

    // Remembers what it was given first and says what it was told to, a byte a token.
    private sealed class Parrot(string says) : ILanguageModel
    {
        private int said;

        public string Read { get; private set; } = "";
        public string Architecture => "parrot";
        public string Hash => new('a', 64);
        public long VocabularyRows => 257;
        public long EncoderLength => 0;
        public long StateBytesPerToken => 0;

        public RecurrentState NewState(long B = 1, LeftPadding? padding = null)
        {
            (said, Read) = (0, "");
            return new(Hash, Architecture, B, [], padding);
        }

        public Tensor Prefill(Tensor tokens, RecurrentState state, long prefixLength = 0)
        {
            Read += new ByteTokenizer().Decode([.. tokens.data<long>().ToArray().Select(id => (int)id)]);
            return Say(tokens, state);
        }

        public Tensor Step(Tensor token, RecurrentState state) => Say(token.unsqueeze(1), state);

        public Tensor Logits(Tensor tokens, RecurrentState state, long prefixLength = 0) => throw new NotSupportedException();

        public void Dispose()
        {
        }

        private Tensor Say(Tensor tokens, RecurrentState state)
        {
            var scores = zeros(1, VocabularyRows);
            scores[0, says[said++]] = 1;
            state.Advance(tokens, scores);
            return scores;
        }
    }
}
