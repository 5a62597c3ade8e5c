using ReadTwice.Kernels;

namespace ReadTwice.Tests.Kernels;

/// <summary>The operands of one call of a recurrence over matrices, and what the fast form or the reference makes of them.</summary>
internal sealed record RecurrenceRun(string Rule, AttentionSizes Sizes)
{
    /// <summary>The recurrences, the delta rule with each kind of decay.</summary>
    public static string[] Rules => ["delta_rule", "gated_delta_rule", "kda", "comba", "rwkv6", "rwkv7"];

    public static StateKernel[] Widths => [new StateKernel<Lanes512>(), new StateKernel<Lanes256>(), new StateKernel<Lanes128>()];

    public float Scale { get; init; } = 1;
    public required float[] Q { get; init; }
    public required float[] K { get; init; }
    public required float[] V { get; init; }
    public float[] Beta { get; init; } = [];
    public float[] Decay { get; init; } = [];

    /// <summary>Comba's p, or RWKV-7's a.</summary>
    public float[] Asks { get; init; } = [];

    /// <summary>RWKV-7's b.</summary>
    public float[] Rewrites { get; init; } = [];
    public float[] Bonus { get; init; } = [];
    public required float[] S0 { get; init; }

    public sealed record Results(float[] O, float[] S);

    public sealed record Gradients(float[] R, float[] Decay, float[] K, float[] V, float[] Asks, float[] Rewrites, float[] S0)
    {
        public IEnumerable<(string Name, float[] Values)> All =>
            [("r", R), ("decay", Decay), ("k", K), ("v", V), ("a", Asks), ("b", Rewrites), ("S0", S0)];
    }

    /// <summary>Random operands, keys of about unit length, from a random state.</summary>
    public static RecurrenceRun Random(string rule, AttentionSizes sizes, int seed = 1)
    {
        var random = new Random(seed);
        var (B, T, H, K, V) = sizes;
        int tokens = B * T * H;
        float unit = MathF.Sqrt(3f / K);
        float[] Shares(int count) => [.. Enumerable.Range(0, count).Select(_ => random.Next(5) == 0 ? 0 : random.NextSingle())];
        float[] keys = Numbers.Random(random, tokens * K, unit);
        var run = new RecurrenceRun(rule, sizes)
        {
            Q = Numbers.Random(random, tokens * K),
            K = keys,
            V = Numbers.Random(random, tokens * V),
            Beta = Shares(tokens),
            S0 = Numbers.Random(random, B * H * K * V),
        };
        return rule switch
        {
            "gated_delta_rule" => run with { Decay = Shares(tokens) },
            "kda" => run with { Decay = Shares(tokens * K) },
            "comba" => run with { Decay = Shares(tokens), Asks = Numbers.Random(random, tokens * K, unit) },
            "rwkv6" => run with { Decay = Shares(tokens * K), Bonus = Numbers.Random(random, H * K) },
            "rwkv7" => run with
            {
                Decay = Shares(tokens * K),
                Asks = Numbers.Random(random, tokens * K, unit),
                Rewrites = Numbers.Random(random, tokens * K, unit),
            },
            _ => run,
        };
    }

    /// <summary>What the authors' code was given, from an empty state or a given one.</summary>
    public static RecurrenceRun Load(GoldenFile golden, string rule, bool empty)
    {
        int[] k = golden.Shape("k"), v = golden.Shape("v");
        var sizes = new AttentionSizes(B: k[0], T: k[1], H: k[2], K: k[3], V: v[3]);
        bool delta = rule is not ("rwkv6" or "rwkv7");
        float[] Exp(string name) => [.. golden[name].Select(MathF.Exp)];
        return new RecurrenceRun(rule, sizes)
        {
            Scale = delta ? 1 / MathF.Sqrt(sizes.K) : 1,
            Q = golden[delta ? "q" : "r"],
            K = golden["k"],
            V = golden["v"],
            Beta = delta ? golden["beta"] : [],
            Decay = rule == "delta_rule" ? [] : Exp(delta ? "g" : "w"),
            Asks = rule == "comba" ? golden["p"] : rule == "rwkv7" ? golden["a"] : [],
            Rewrites = rule == "rwkv7" ? golden["b"] : [],
            Bonus = rule == "rwkv6" ? golden["u"] : [],
            S0 = empty ? new float[sizes.B * sizes.H * sizes.K * sizes.V] : golden["h0"],
        };
    }

    /// <summary>A piece of the sequence.</summary>
    public RecurrenceRun Tokens(int from, int to)
    {
        float[] Part(float[] values)
        {
            int row = values.Length / (Sizes.B * Sizes.T);
            return [.. Enumerable.Range(0, Sizes.B).SelectMany(b => values[((b * Sizes.T + from) * row)..((b * Sizes.T + to) * row)])];
        }

        return this with
        {
            Sizes = Sizes with { T = to - from },
            Q = Part(Q),
            K = Part(K),
            V = Part(V),
            Beta = Part(Beta),
            Decay = Part(Decay),
            Asks = Part(Asks),
            Rewrites = Part(Rewrites),
        };
    }

    public Results Reference()
    {
        var to = new Results(Unwritten(V.Length), [.. S0]);
        switch (Rule)
        {
            case "rwkv6": Rwkv6.Reference(Sizes, Q, K, V, Decay, Bonus, to.S, to.O); break;
            case "rwkv7": Rwkv7.Reference(Sizes, Q, Decay, K, V, Asks, Rewrites, to.S, to.O); break;
            default: DeltaRule.Reference(Sizes, Scale, Q, K, V, Beta, Decay, Asks, to.S, to.O); break;
        }
        return to;
    }

    public Results Forward(StateKernel? width = null, int threads = 1)
    {
        var to = new Results(Unwritten(V.Length), [.. S0]);
        Forward(width ?? DeltaRule.Kernel, Q, K, V, Decay, to.S, to.O, threads);
        return to;
    }

    /// <summary>The fast form on spans of the caller's, in place of the run's own.</summary>
    public void Forward(StateKernel width, In q, In k, In v, In decay, Ref S, Ref o, int threads = 1)
    {
        switch (Rule)
        {
            case "rwkv6": Rwkv6.Forward(width, Sizes, q, k, v, decay, Bonus, S, o, threads); break;
            case "rwkv7": Rwkv7.Forward(width, Sizes, q, decay, k, v, Asks, Rewrites, S, o, threads); break;
            default: DeltaRule.Forward(width, Sizes, Scale, q, k, v, Beta, decay, Asks, S, o, threads); break;
        }
    }

    /// <summary>The gradients of an RWKV-7 run, by the fast form at a width, or by the reference where none is given; dS may be empty.</summary>
    public Gradients Backward(float[] dO, float[] dS, StateKernel? width = null, int threads = 1)
    {
        var to = new Gradients(
            Unwritten(Q.Length), Unwritten(Decay.Length), Unwritten(K.Length), Unwritten(V.Length), Unwritten(Asks.Length), Unwritten(Rewrites.Length),
            Unwritten(S0.Length));
        if (width is null)
            Rwkv7.ReferenceBackward(Sizes, Q, Decay, K, V, Asks, Rewrites, S0, dO, dS, to.R, to.Decay, to.K, to.V, to.Asks, to.Rewrites, to.S0);
        else
            Rwkv7.Backward(width, Sizes, Q, Decay, K, V, Asks, Rewrites, S0, dO, dS, to.R, to.Decay, to.K, to.V, to.Asks, to.Rewrites, to.S0, threads);
        return to;
    }

    // What a kernel must overwrite starts as NaN.
    private static float[] Unwritten(int count)
    {
        var values = new float[count];
        values.AsSpan().Fill(float.NaN);
        return values;
    }
}
