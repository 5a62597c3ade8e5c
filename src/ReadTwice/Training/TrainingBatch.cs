namespace ReadTwice.Training;

/// <summary>What is learnt from a sequence.</summary>
public enum Objective
{
    /// <summary>Every token from those before it: Based, Mamba, Transformers.</summary>
    NextToken,

    /// <summary>The tokens after the prefix, each from all before it; the prefix is read and not predicted.</summary>
    PrefixNextToken,

    /// <summary>The same, and the prefix's masked tokens from all around them: JRT-RNN (arXiv 2407.05483).</summary>
    MaskedPrefix,
}

/// <summary>How a batch's labels are laid and weighed.</summary>
/// <param name="Objective">What is learnt.</param>
/// <param name="MaskId">The token that stands for a masked one.</param>
public sealed record LabelRules(Objective Objective, int MaskId)
{
    /// <summary>How likely a token of the prefix is masked.</summary>
    public double MaskRate { get; init; } = 0.15;

    /// <summary>The weight of the masked tokens' loss.</summary>
    public double MaskWeight { get; init; } = 0.25;

    /// <summary>The weight of an answer's token among the others'.</summary>
    public double AnswerWeight { get; init; } = 1;
}

/// <summary>One prediction: where in the batch it is made, the token that is right, and how much it counts.</summary>
/// <param name="Position">Index into B·T.</param>
/// <param name="Id">The right token.</param>
/// <param name="Weight">Its weight in the mean.</param>
/// <param name="IsAnswer">Whether it is part of an answer.</param>
public readonly record struct Label(long Position, long Id, float Weight, bool IsAnswer = false);

/// <summary>Sequences of one shape, laid out for a step: the tokens as they are read, and what is to be predicted where.</summary>
/// <param name="B">Sequences.</param>
/// <param name="T">Tokens of each.</param>
/// <param name="PrefixLength">How many of them are the prefix; 0 for a model without.</param>
/// <param name="Tokens">[B, T], the masked ones replaced.</param>
/// <param name="Next">The token that follows.</param>
/// <param name="Masked">The token that was masked.</param>
public sealed record TrainingBatch(
    int B, int T, int PrefixLength, long[] Tokens, IReadOnlyList<Label> Next, IReadOnlyList<Label> Masked)
{
    /// <summary>Lays sequences of one length and prefix.</summary>
    /// <remarks>
    /// As the authors lay them, the last token of the prefix predicts nothing, so the first after it is predicted by none, unless it begins an answer.
    /// A masked token is always replaced by the mask, never by another or itself.
    /// </remarks>
    /// <param name="sequences">The rows.</param>
    /// <param name="rules">What is predicted.</param>
    /// <param name="random">Chooses the masked tokens.</param>
    public static TrainingBatch Lay(IReadOnlyList<TokenSequence> sequences, LabelRules rules, Random random)
    {
        var (T, M) = (sequences[0].T, rules.Objective == Objective.NextToken ? 0 : sequences[0].PrefixLength);
        var tokens = new long[sequences.Count * T];
        var (next, masked) = (new List<Label>(), new List<Label>());
        for (int b = 0; b < sequences.Count; b++)
        {
            var row = sequences[b];
            if (row.T != T || (M > 0 && row.PrefixLength != M))
                throw new ArgumentException($"A batch needs sequences of one shape; {row.T} tokens with a prefix of {row.PrefixLength} stand beside {T} with {M}.");
            for (int t = 0; t < T; t++)
            {
                int p = b * T + t;
                tokens[p] = row.Ids[t];
                // Drawn for every token, so that what one token is does not change which others are masked.
                bool drawn = t < M && rules.Objective == Objective.MaskedPrefix && random.NextDouble() < rules.MaskRate;
                if (drawn && row.Roles[t] == TokenRole.Text)
                {
                    masked.Add(new(p, row.Ids[t], 1));
                    tokens[p] = rules.MaskId;
                }
                var following = row.Roles[t + 1];
                bool predicted = following == TokenRole.Answer || (following != TokenRole.Padding && (t >= M || M == 0));
                if (predicted)
                    next.Add(new(p, row.Ids[t + 1], following == TokenRole.Answer ? (float)rules.AnswerWeight : 1, following == TokenRole.Answer));
            }
        }
        return new(sequences.Count, T, M, tokens, next, masked);
    }
}
