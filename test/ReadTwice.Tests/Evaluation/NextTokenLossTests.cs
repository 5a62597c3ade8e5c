using ReadTwice.Evaluation;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Evaluation;

public class NextTokenLossTests
{
    [Fact]
    public void A_long_text_has_the_loss_of_all_its_tokens_read_at_once()
    {
        using var checkpoint = TestModels.Of(TestModels.Families.First(each => each.Data.Contains("Mamba", StringComparison.Ordinal)).Data);
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        var tokens = TestModels.Tokens(checkpoint.Model, 1, 1100, seed: 3);
        using var state = checkpoint.Model.NewState();
        var likely = nn.functional.log_softmax(checkpoint.Model.Logits(tokens, state).squeeze(0), 1);       // [T, vocabulary]
        double sum = 0;
        int[] ids = [.. tokens.data<long>().Select(id => (int)id)];
        for (int t = 1; t < ids.Length; t++) sum -= likely[t - 1, ids[t]].item<float>();
        Assert.Equal(sum / (ids.Length - 1), NextTokenLoss.Of(checkpoint.Model, ids), 1e-4);
    }

    [Fact]
    public void What_follows_a_prefix_is_foretold_after_the_prefix_was_read_in_both_directions()
    {
        using var checkpoint = TestModels.Of("HazyResearch JRT-RNN");
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        int prefix = (int)checkpoint.Model.EncoderLength, T = 3 * prefix;
        var tokens = TestModels.Tokens(checkpoint.Model, 1, T, seed: 3);
        using var state = checkpoint.Model.NewState();
        var likely = nn.functional.log_softmax(checkpoint.Model.Logits(tokens, state, prefix).squeeze(0), 1);
        double sum = 0;
        int[] ids = [.. tokens.data<long>().Select(id => (int)id)];
        for (int t = prefix + 1; t < T; t++) sum -= likely[t - 1, ids[t]].item<float>();
        Assert.Equal(sum / (T - 1 - prefix), NextTokenLoss.Of(checkpoint.Model, ids), 1e-4);
    }

    [Fact]
    public void A_text_of_one_token_foretells_nothing()
    {
        using var checkpoint = TestModels.Of(TestModels.Families.First().Data);
        Assert.Throws<ArgumentException>(() => NextTokenLoss.Of(checkpoint.Model, [1]));
    }
}
