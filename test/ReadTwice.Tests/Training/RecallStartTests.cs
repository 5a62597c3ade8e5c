using ReadTwice.Checkpoints;
using ReadTwice.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests.Training;

public sealed class RecallStartTests : IDisposable
{
    private readonly DisposeScope scope = NewDisposeScope();
    private readonly Tensor guard = zeros(1);

    public void Dispose()
    {
        guard.Dispose();
        scope.Dispose();
    }

    [Theory, InlineData("PrefixLinearAttention", 12), InlineData("LinearAttention", 0)]
    public void Before_any_training_the_token_that_followed_before_is_scored_above_the_others_of_the_text(string attention, int prefix)
    {
        using var checkpoint = Checkpoint.New("m", Config(attention), new ByteTokenizer(), 1);
        TrainingSetup.Draw(checkpoint.Model, 0.05, new(1));
        Assert.InRange(Found(checkpoint.Model, prefix), 0, 0.4);   // 1 of 11 by chance
        RecallStart.Apply(checkpoint.Model, 0.05, new(2));
        Assert.InRange(Found(checkpoint.Model, prefix), 0.8, 1);
    }

    [Fact]
    public void A_model_without_linear_attention_is_refused()
    {
        using var checkpoint = TestModels.Of("HazyResearch attention");
        Assert.Contains("linear attention", Assert.Throws<InvalidDataException>(() => RecallStart.Apply(checkpoint.Model, 0.05, new(2))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_convolution_that_is_too_narrow_is_refused()
    {
        using var checkpoint = Checkpoint.New("m", Config("LinearAttention", expand: 2), new ByteTokenizer(), 1);
        Assert.Contains("128", Assert.Throws<InvalidDataException>(() => RecallStart.Apply(checkpoint.Model, 0.05, new(2))).Message, StringComparison.Ordinal);
    }

    // Twelve different tokens, and one of them again: how often the one that followed it has the highest score of the other eleven.
    private static double Found(LanguageModel model, int prefix)
    {
        const int Texts = 40, Length = 12;
        using var inference = no_grad();
        var random = new Random(3);
        int found = 0;
        for (int i = 0; i < Texts; i++)
        {
            long[] text = [.. Enumerable.Range(0, 256).OrderBy(_ => random.Next()).Take(Length).Select(id => (long)id)];
            int asked = random.Next(Length - 1);
            var tokens = tensor([.. text, text[asked]]).unsqueeze(0);
            float[] scores = model.LogitsAt(tokens, prefix, tensor(new long[] { Length }))[0].data<float>().ToArray();
            if (text.Where(id => id != text[asked]).MaxBy(id => scores[id]) == text[asked + 1]) found++;
        }
        return (double)found / Texts;
    }

    private static ConfigJson Config(string attention, int expand = 4) => ConfigJson.Parse($$"""
        {
          "model_type": "gpt2", "vocab_size": 257, "pad_vocab_size_multiple": 8, "n_embd": 64, "n_layer": 2, "n_head": 2, "n_inner": 256, "n_positions": 0,
          "rms_norm": true, "activation_function": "swiglu", "mlp_fc1_bias": false, "mlp_fc2_bias": false, "qkv_proj_bias": false, "out_proj_bias": false,
          "mixer": { "_target_": "BaseConv", "expand_proj": {{expand}}, "use_bias": true },
          "alt_mixer": { "_target_": "{{attention}}", "num_heads": 1, "feature_dim": 48, "enc_length": 1024 }, "alt_mixer_layers": [1]
        }
        """, "config.json");
}
