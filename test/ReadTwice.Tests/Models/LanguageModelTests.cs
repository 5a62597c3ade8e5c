using ReadTwice.Checkpoints;
using ReadTwice.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Models;

/// <summary>What holds for every model that is listed: one path from a state to a state, however the text is cut.</summary>
public sealed class LanguageModelTests : IDisposable
{
    // Rounding moves each product by about 0.6 % of its size, and the layers after it carry that on.
    private const double MostByRounding = 0.2;

    private readonly DisposeScope scope = NewDisposeScope();
    private readonly Tensor guard;

    public LanguageModelTests()
    {
        Native.Libtorch.Threads = 1;
        guard = zeros(1);
    }

    public static TheoryData<string> Families => TestModels.Families;

    public void Dispose()
    {
        guard.Dispose();
        scope.Dispose();
    }

    [Theory, MemberData(nameof(Families))]
    public void A_text_read_in_pieces_gives_the_logits_and_the_state_of_one_reading(string family)
    {
        using var checkpoint = TestModels.Of(family);
        var model = checkpoint.Model;
        var tokens = TestModels.Tokens(model, 2, 61, seed: 3);
        long prefix = TestModels.Prefix(model, 61);
        using var whole = model.NewState(2);
        using var inference = no_grad();
        var expected = model.Logits(tokens, whole, prefix);

        foreach (int seed in Enumerable.Range(0, 6))
        {
            var random = new Random(seed);
            using var state = model.NewState(2);
            var logits = new List<Tensor>();
            for (long at = 0; at < 61;)
            {
                long n = Math.Min(at == 0 ? Math.Max(prefix, random.Next(1, 20)) : random.Next(1, 30), 61 - at);
                logits.Add(model.Logits(tokens.narrow(1, at, n), state, at == 0 ? prefix : 0));
                at += n;
            }
            Near.Equal(expected, cat(logits, 1), because: $"logits of pieces, seed {seed}");
            Near.Equal(whole, state);
        }
    }

    [Theory, MemberData(nameof(Families))]
    public void Steps_give_the_logits_and_the_state_of_one_prefill(string family)
    {
        using var checkpoint = TestModels.Of(family);
        var model = checkpoint.Model;
        var tokens = TestModels.Tokens(model, 2, 40, seed: 4);
        long prefix = Math.Max(1, TestModels.Prefix(model, 40));
        using var stepped = model.NewState(2);
        var logits = model.Prefill(tokens.narrow(1, 0, prefix), stepped, model.EncoderLength == 0 ? 0 : prefix);
        for (long t = prefix; t < 40; t++) logits = model.Step(tokens.select(1, t), stepped);

        using var whole = model.NewState(2);
        Near.Equal(model.Prefill(tokens, whole, TestModels.Prefix(model, 40)), logits);
        Near.Equal(whole, stepped);
    }

    [Theory, MemberData(nameof(Families))]
    public void A_quantized_model_steps_as_it_prefills_and_differs_little_from_the_exact_one(string family)
    {
        using var exact = TestModels.Of(family);
        using var rounded = TestModels.Of(family, quantization: Quantization.Int8);
        using (no_grad())
            foreach (var (to, from) in rounded.Model.parameters().Zip(exact.Model.parameters())) to.copy_(from);
        var tokens = TestModels.Tokens(exact.Model, 1, 12, seed: 4);
        long prefix = TestModels.Prefix(exact.Model, 12);
        using RecurrentState exactly = exact.Model.NewState(), whole = rounded.Model.NewState(), stepped = rounded.Model.NewState();
        var expected = exact.Model.Prefill(tokens, exactly, prefix);
        var logits = rounded.Model.Prefill(tokens, whole, prefix);
        if (prefix == 0)
        {
            var last = rounded.Model.Step(tokens.select(1, 0), stepped);
            for (int t = 1; t < 12; t++) last = rounded.Model.Step(tokens.select(1, t), stepped);
            Near.Equal(logits, last);
        }
        double difference = (logits - expected).norm().item<float>() / expected.norm().item<float>();
        Assert.InRange(difference, 1e-6, MostByRounding);
        Assert.InRange(rounded.Model.PackedBytes, 1, exact.Model.PackedBytes);
    }

    [Theory, MemberData(nameof(Families))]
    public void A_later_token_changes_no_earlier_logit_after_the_prefix(string family)
    {
        using var checkpoint = TestModels.Of(family);
        using var inference = no_grad();
        var model = checkpoint.Model;
        var tokens = TestModels.Tokens(model, 1, 50, seed: 5);
        var changed = tokens.clone();
        changed[0, 30] = (changed[0, 30] + 1) % model.VocabularyRows;
        var (before, after) = (model.forward(tokens), model.forward(changed));
        Near.Equal(before.narrow(1, 0, 30), after.narrow(1, 0, 30), tolerance: 1e-6);
        Assert.True((before - after).abs().narrow(1, 30, 20).max().item<float>() > 1e-3, "the changed token itself is not seen");
    }

    [Theory, MemberData(nameof(Families))]
    public void Every_token_of_the_prefix_reaches_the_first_position(string family)
    {
        using var checkpoint = TestModels.Of(family);
        using var inference = no_grad();
        var model = checkpoint.Model;
        var tokens = TestModels.Tokens(model, 1, 20, seed: 6);
        var before = model.forward(tokens);
        for (long t = 1; t < 20; t++)
        {
            var changed = tokens.clone();
            changed[0, t] = (changed[0, t] + 1) % model.VocabularyRows;
            double difference = (before - model.forward(changed))[0, 0].abs().max().item<float>();
            if (t < model.EncoderLength) Assert.True(difference > 1e-6, $"token {t} of the prefix does not reach the first position");
            else Assert.True(difference < 1e-6, $"token {t} lies after the prefix and reaches the first position");
        }
    }

    [Theory, MemberData(nameof(Families))]
    public void Rows_of_a_batch_give_what_each_gives_alone(string family)
    {
        using var checkpoint = TestModels.Of(family);
        var model = checkpoint.Model;
        var tokens = TestModels.Tokens(model, 3, 23, seed: 7);
        using var together = model.NewState(3);
        var expected = model.Prefill(tokens, together, TestModels.Prefix(model, 23));
        var steps = model.Step(tokens.select(1, 0), together);
        for (long row = 0; row < 3; row++)
        {
            using var alone = model.NewState();
            Near.Equal(expected.narrow(0, row, 1), model.Prefill(tokens.narrow(0, row, 1), alone, TestModels.Prefix(model, 23)));
            Near.Equal(steps.narrow(0, row, 1), model.Step(tokens.select(1, 0).narrow(0, row, 1), alone));
        }
    }

    [Theory, MemberData(nameof(Families))]
    public void A_padded_row_gives_what_it_gives_alone(string family)
    {
        using var checkpoint = TestModels.Of(family);
        var model = checkpoint.Model;
        long[] starts = [0, 9, 4];
        var tokens = TestModels.Tokens(model, 3, 30, seed: 8);
        using var together = model.NewState(3, new(starts));
        // The prefix of the batch ends where the longest row's does; alone, each row's is shorter by its padding.
        long prefix = TestModels.Prefix(model, 30);
        var expected = model.Prefill(tokens, together, prefix);
        var next = tokens.select(1, 1);
        var steps = model.Step(next, together);
        for (int row = 0; row < 3; row++)
        {
            using var alone = model.NewState();
            var own = tokens.narrow(0, row, 1).narrow(1, starts[row], 30 - starts[row]);
            Near.Equal(expected.narrow(0, row, 1), model.Prefill(own, alone, Math.Max(0, prefix - starts[row])), because: $"row {row}");
            Near.Equal(steps.narrow(0, row, 1), model.Step(next.narrow(0, row, 1), alone), because: $"a step of row {row}");
        }
    }

    [Theory, MemberData(nameof(Families))]
    public void A_state_keeps_its_size_unless_the_model_says_that_it_grows(string family)
    {
        using var checkpoint = TestModels.Of(family);
        var model = checkpoint.Model;
        using var state = model.NewState();
        long empty = state.Bytes;
        model.Prefill(TestModels.Tokens(model, 1, 50, seed: 9), state);
        model.Step(tensor(new long[] { 1 }), state);
        Assert.Equal(empty + 51 * model.StateBytesPerToken, state.Bytes);
        Assert.All(Enumerable.Range(0, state.Count).SelectMany(i => state[i].Names.Select(name => state[i][name])), tensor => Assert.Equal(ScalarType.Float32, tensor.dtype));
    }

    [Theory, MemberData(nameof(Families))]
    public void A_clone_goes_on_without_touching_the_original(string family)
    {
        using var checkpoint = TestModels.Of(family);
        var model = checkpoint.Model;
        using var state = model.NewState();
        model.Prefill(TestModels.Tokens(model, 1, 17, seed: 10), state, TestModels.Prefix(model, 17));
        using var kept = state.Clone();
        using var other = state.Clone();
        model.Prefill(TestModels.Tokens(model, 1, 17, seed: 11), other);
        Near.Equal(kept, state);
        var more = TestModels.Tokens(model, 1, 5, seed: 12);
        Near.Equal(model.Prefill(more, state), model.Prefill(more, kept), tolerance: 0);
    }

    [Theory, MemberData(nameof(Families))]
    public void A_saved_state_answers_as_the_live_one(string family)
    {
        using var folder = new TemporaryFolder();
        using var checkpoint = TestModels.Of(family);
        var model = checkpoint.Model;
        using var live = model.NewState();
        model.Prefill(TestModels.Tokens(model, 1, 33, seed: 13), live, TestModels.Prefix(model, 33));
        live.Source = new("tokenizer", "twice", "document");
        string path = folder.File("kept.state");
        live.Save(path);
        using var loaded = RecurrentState.Load(path, model);
        Assert.Equal(live.Source, loaded.Source);
        Near.Equal(live, loaded);
        var more = TestModels.Tokens(model, 1, 7, seed: 14);
        Near.Equal(model.Prefill(more, live), model.Prefill(more, loaded), tolerance: 0);
    }

    [Theory, MemberData(nameof(Families))]
    public void Every_parameter_that_is_taken_is_one_of_the_models(string family)
    {
        var form = Architectures.All.SelectMany(architecture => architecture.Families).Single(each => each.Name == family);
        var config = ConfigJson.Parse(form.Example, family);
        var weights = new CountedWeights(new FreshWeights(config, 1, ScalarType.Float32));
        using var model = form.Build(config, new(weights));
        Assert.Equal(weights.Taken, model.parameters().Count());
    }

    [Theory, MemberData(nameof(Families))]
    public void Training_reaches_every_parameter(string family)
    {
        using var checkpoint = TestModels.Of(family);
        var model = checkpoint.Model;
        var tokens = TestModels.Tokens(model, 2, 33, seed: 15);
        var logits = model.forward(tokens);
        nn.functional.cross_entropy(logits.narrow(1, 0, 32).flatten(0, 1), tokens.narrow(1, 1, 32).flatten()).backward();
        Assert.All(model.named_parameters().Where(entry => entry.parameter.requires_grad), entry =>
        {
            Assert.True(entry.parameter.grad is not null, $"{entry.name} has no gradient");
            Assert.True(entry.parameter.grad!.abs().sum().item<float>() > 0, $"{entry.name} has a gradient of zero");
        });
    }
}
