using System.Text;
using ReadTwice.Evaluation;
using ReadTwice.Evaluation.Tasks;

namespace ReadTwice.Tests;

public class ContextCutTests
{
    // A token a byte, so windows can be counted by eye. The budget of most tests is 4: two before the answer.
    private static readonly Tokenizer bytes = new ByteTokenizer();

    [Theory]
    [InlineData("XY23456789", "XY23")]
    [InlineData("0123XY6789", "23XY")]
    [InlineData("012345xy89", "45xy")]
    [InlineData("  0123XY6789\n", "23XY")]
    [InlineData("XY", "XY")]
    [InlineData("01234567XY", "67XY")]
    // No answer counts as one at the last character; the window is not moved to the left, and stays short.
    [InlineData("0123456789", "789")]
    [InlineData("0123456😀", "56\uFFFD")]
    public void The_window_stands_around_the_answer(string document, string window) =>
        Assert.Equal(window, Cut(Squad.Task, new(document, "q", ["XY"]), 4)!.Document);

    [Fact]
    public void An_odd_budget_has_its_larger_half_after_the_answer() =>
        Assert.Equal("23XY6", Cut(Squad.Task, new("0123XY6789", "q", ["XY"]), 5)!.Document);

    [Theory]
    [InlineData("01key45678value", "01ke")]
    [InlineData("01value78key", "01va")]
    [InlineData("0123456789value", "89va")]
    public void Fda_and_swde_are_cut_around_the_key_or_the_value_whichever_comes_first(string document, string window)
    {
        Assert.Equal(window, Cut(Fda.Task, new(document, "Key", ["value"]), 4)!.Document);
        Assert.Equal(window, Cut(Swde.Task, new(document, "Key", ["value"]), 4)!.Document);
    }

    [Theory]
    [InlineData("k", "value")]
    [InlineData("key", "v")]
    [InlineData("key", "")]
    [InlineData("key", "😀")]
    public void An_example_with_a_landmark_of_one_character_is_left_out(string key, string value) =>
        Assert.Null(Cut(Fda.Task, new("key value 😀", key, [value]), 4));

    [Fact]
    public void Drop_and_trivia_keep_the_head_whatever_the_answers()
    {
        Assert.Equal("0123", Cut(Drop.Task, new("0123456789", "q", ["9"]), 4)!.Document);
        Assert.Equal("0123", Cut(TriviaQa.Task, new("0123456789", "q", ["789"]), 4)!.Document);
    }

    [Fact]
    public void Nq_looks_for_its_first_answer_then_for_the_first_other_that_is_there_then_takes_the_known_token()
    {
        var example = new RecallExample("0123AB67CD01234567", "q", ["AB", "CD"]);
        Assert.Equal("23AB", Cut(NaturalQuestions.Task, example, 4)!.Document);
        Assert.Equal("67CD", Cut(NaturalQuestions.Task, example with { Answers = ["no", "AB"], OtherAnswers = ["none", "cd", "AB"] }, 4)!.Document);
        var missing = example with { Answers = ["no"], AnswerToken = 6 };
        Assert.Equal("AB67", Cut(NaturalQuestions.Task, missing, 4)!.Document);
        // A text within the budget keeps its last half: the known token counts only where something must go.
        Assert.Equal("AB67CD01234567", Cut(NaturalQuestions.Task, missing with { AnswerToken = 0 }, 26)!.Document);
        Assert.Equal("", Cut(NaturalQuestions.Task, missing with { AnswerToken = 1000 }, 4)!.Document);
    }

    [Fact]
    public void A_token_before_every_text_counts_in_the_budget_and_is_not_decoded()
    {
        Assert.Equal("012", ContextCut.Cut(Drop.Task, new("0123456789", "q", ["a"]), bytes, 4, beginOfText: true)!.Document);
        Assert.Equal("23XY", ContextCut.Cut(Squad.Task, new("0123XY6789", "q", ["XY"]), bytes, 4, beginOfText: true)!.Document);
        Assert.Equal("0XY", ContextCut.Cut(Squad.Task, new("0XY6789", "q", ["XY"]), bytes, 4, beginOfText: true)!.Document);
    }

    [Fact]
    public void A_character_cut_in_two_becomes_the_replacement_character_and_an_end_of_text_goes()
    {
        Assert.Equal("abc\uFFFD", Cut(Drop.Task, new("abcé", "q", ["a"]), 4)!.Document);
        Assert.Equal("ab", Cut(Drop.Task, new("a\0b", "q", ["a"]), 4)!.Document);
    }

    [Fact]
    public void Spaces_before_marks_go_where_the_authors_tokenizer_cleans_up()
    {
        var example = new RecallExample("It 's here , is n't it ? No . We ' ve ! I 'm", "q", ["a"]);
        Assert.Equal(example.Document, ContextCut.Cut(Drop.Task, example, bytes, 100)!.Document);
        Assert.Equal("It's here, isn't it? No. We've! I'm", ContextCut.Cut(Drop.Task, example, bytes, 100, tidySpaces: true)!.Document);
    }

    [Fact]
    public void All_but_the_document_stays_and_the_example_given_is_not_touched()
    {
        var example = new RecallExample("0123XY6789", "q", ["XY"]) { Id = "7", Context = "long context" };
        var cut = Cut(Squad.Task, example, 4)!;
        Assert.Equal(example with { Document = "23XY" }, cut);
        Assert.Equal("0123XY6789", example.Document);
    }

    [Fact]
    public void A_budget_is_positive() => Assert.Throws<ArgumentOutOfRangeException>(() => Cut(Drop.Task, new("a", "q", ["a"]), 0));

    private static RecallExample? Cut(RecallTask task, RecallExample example, int budget) => ContextCut.Cut(task, example, bytes, budget);

    private sealed class ByteTokenizer : Tokenizer
    {
        public override int VocabularySize => 256;

        public override int? EndOfText => 0;

        public override string Hash => "bytes";

        public override IReadOnlyList<int> Encode(string text) => [.. Encoding.UTF8.GetBytes(text).Select(b => (int)b)];

        public override ReadOnlySpan<byte> Bytes(int id) => new byte[] { (byte)id };

        public override string Decode(IEnumerable<int> ids) => Encoding.UTF8.GetString([.. ids.Select(id => (byte)id)]);

        public override StreamingDecoder NewStreamingDecoder() => throw new NotSupportedException("no test decodes token by token.");
    }
}
