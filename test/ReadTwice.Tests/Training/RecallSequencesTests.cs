using ReadTwice.Evaluation;
using ReadTwice.Evaluation.Tasks;
using ReadTwice.Training;

namespace ReadTwice.Tests.Training;

public sealed class RecallSequencesTests
{
    private static readonly Tokenizer tokenizer = new ByteTokenizer();
    private static readonly string filler = string.Concat(Enumerable.Range(0, 200).Select(i => $" w{i * 7919 % 9973}"));
    private static readonly string text = $"A. Applicant: Alfa Wassermann B. Panel: Chemistry (75) C. Purpose: New device{filler}";
    private static readonly LabelledDocument document = new(text, [.. new[] { ("applicant", "Alfa Wassermann"), ("panel", "Chemistry (75)"), ("purpose", "New device") }
        .Select(fact => new RecallExample(text, fact.Item1, [fact.Item2]) { Id = "d" })]);

    [Theory, InlineData(1), InlineData(2)]
    public void The_prefix_is_the_prompt_of_the_evaluation_and_the_answer_follows_it(int times)
    {
        foreach (var sequence in Facts(new(300, 500, 1024), times, masks: 0))
        {
            Assert.Equal((500, 300), (sequence.Ids.Count, sequence.PrefixLength));
            string read = tokenizer.Decode(sequence.Ids.Take(300)), rest = tokenizer.Decode(sequence.Ids.Skip(300));
            var fact = document.Facts.Single(fact => read.EndsWith($". {char.ToUpperInvariant(fact.Question[0])}{fact.Question[1..]}:", StringComparison.Ordinal));
            Assert.StartsWith($" {fact.Answers[0]}\n", rest, StringComparison.Ordinal);
            Assert.Contains(fact.Answers[0], read, StringComparison.Ordinal);
            Assert.All(sequence.Roles.Skip(300).Take(fact.Answers[0].Length + 2), role => Assert.Equal(TokenRole.Answer, role));
            Assert.Equal(times == 2, read.Contains(".\n", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Every_answer_can_be_read_in_the_prefix_and_more_questions_follow()
    {
        int questions = 0;
        foreach (var sequence in Facts(new(400, 700, 1024), 1, masks: 0))
        {
            string read = tokenizer.Decode(sequence.Ids.Take(400));
            foreach (string answer in Answers(sequence))
            {
                Assert.Contains(answer.Trim(), read, StringComparison.Ordinal);
                questions++;
            }
        }
        Assert.True(questions > 3 * 20, $"{questions} answers in 20 sequences");
    }

    [Fact]
    public void What_is_asked_is_never_masked_and_where_masks_are_off_nothing_is()
    {
        foreach (var sequence in Facts(new(300, 500, 1024), 1, masks: 1))
        {
            var kept = Enumerable.Range(0, 300).Where(t => sequence.Roles[t] == TokenRole.Kept).ToHashSet();
            Assert.InRange(kept.Count, 1, 299);
            string read = tokenizer.Decode(sequence.Ids.Take(300)), answer = Answers(sequence).First().Trim();
            int at = read.IndexOf(answer, StringComparison.Ordinal);
            Assert.All(Enumerable.Range(at, answer.Length), t => Assert.Contains(t, kept));
        }
        foreach (var sequence in Facts(new(300, 500, 1024), 1, masks: 0))
            Assert.All(sequence.Roles.Take(300), role => Assert.Equal(TokenRole.Kept, role));
    }

    [Fact]
    public void A_copy_repeats_pieces_of_its_prefix_and_does_not_predict_their_cue()
    {
        var made = new RecallSequences(Fda.Task, tokenizer, [document]).Copies(new(128, 256, 1024), 10, new Random(3));
        foreach (var sequence in made)
        {
            string read = tokenizer.Decode(sequence.Ids.Take(128));
            Assert.Equal(TokenRole.Padding, sequence.Roles[128]);
            foreach (string piece in Answers(sequence)) Assert.Contains(piece, read, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void What_a_prompt_has_more_than_the_prefix_can_hold_is_predicted()
    {
        foreach (var sequence in new RecallSequences(Fda.Task, tokenizer, [document]).Facts(new(400, 500, 250), Reading.Twice, 10, 1, new Random(7)))
        {
            Assert.Equal(250, sequence.PrefixLength);
            Assert.DoesNotContain(TokenRole.Padding, sequence.Roles.Take(400));
            Assert.Equal(TokenRole.Answer, sequence.Roles[400]);
        }
    }

    [Fact]
    public void Noise_asks_for_pieces_of_tokens_drawn_at_random()
    {
        var made = new RecallSequences(Fda.Task, tokenizer, [document]).Noise(new(64, 128, 1024), 50, new Random(3));
        Assert.True(made.SelectMany(sequence => sequence.Ids.Take(64)).Distinct().Count() > 250, "not all tokens are drawn");
        foreach (var sequence in made)
        {
            int[] piece = [.. sequence.Ids.Skip(64).TakeWhile((_, i) => sequence.Roles[64 + i] != TokenRole.Text)];
            Assert.Contains(Enumerable.Range(0, 65 - piece.Length), at => sequence.Ids.Skip(at).Take(piece.Length).SequenceEqual(piece));
        }
    }

    [Fact]
    public void The_same_seed_makes_the_same_sequences() => Assert.Equal(
        Facts(new(300, 500, 1024), 1, 0.5).SelectMany(sequence => sequence.Ids), Facts(new(300, 500, 1024), 1, 0.5).SelectMany(sequence => sequence.Ids));

    [Fact]
    public void Documents_that_are_too_short_are_refused_in_the_end()
    {
        var sequences = new RecallSequences(Fda.Task, tokenizer, [document]);
        Assert.Contains("longer documents", Assert.Throws<InvalidDataException>(() => sequences.Facts(new(5000, 5100, 1024), Reading.Once, 3, 0, new Random(1))).Message, StringComparison.Ordinal);
        Assert.Contains("longer documents", Assert.Throws<InvalidDataException>(() => sequences.Copies(new(5000, 5100, 1024), 3, new Random(1))).Message, StringComparison.Ordinal);
    }

    private static IReadOnlyList<TokenSequence> Facts(SequenceShape shape, int times, double masks) =>
        new RecallSequences(Fda.Task, tokenizer, [document]).Facts(shape, new Reading(times), 20, masks, new Random(7));

    // The texts of the stretches that are answers.
    private static IEnumerable<string> Answers(TokenSequence sequence)
    {
        for (int from = sequence.PrefixLength; from < sequence.Ids.Count;)
        {
            int to = from;
            while (to < sequence.Ids.Count && sequence.Roles[to] == TokenRole.Answer) to++;
            if (to > from) yield return tokenizer.Decode(sequence.Ids.Skip(from).Take(to - from));
            from = to + 1;
        }
    }
}
