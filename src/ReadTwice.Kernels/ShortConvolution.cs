namespace ReadTwice.Kernels;

/// <summary>Sizes of a short convolution: B rows of T tokens, each of C channels, and K taps.</summary>
public readonly record struct ConvolutionSizes(int B, int T, int C, int K);

/// <summary>A causal filter of K taps for each channel, y = act(conv(x) + bias) ⊙ gate, where act is SiLU or nothing.</summary>
/// <remarks>
/// x, gate and y are [B, T, C], weight [C, K], whose last tap meets the current token, and bias [C]; the state, advanced in place,
/// is the K - 1 inputs before x, oldest first, [B, C, K - 1]. A token's row of x starts xRow numbers after the row before, one of
/// gate gateRow; bias and gate may be empty. threads = 0 uses every processor. Every method computes the same values: read
/// Reference, call Forward.
/// </remarks>
public static unsafe class ShortConvolution
{
    /// <summary>Filters T tokens.</summary>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Forward(
        ConvolutionSizes sizes, In x, int xRow, In weight, In bias, bool silu, In gate, int gateRow, Ref state, Ref y, int threads = 0)
    {
        Require(sizes, x, xRow, weight, bias, gate, gateRow, state);
        Shape.Require(y, [sizes.B, sizes.T, sizes.C]);
        fixed (float* atX = x, atWeight = weight, atBias = bias, atGate = gate, atState = state, atY = y)
        {
            var operands = new ConvolutionOperands
            {
                Sizes = sizes,
                X = atX,
                XRow = xRow,
                Weight = atWeight,
                Bias = atBias,
                Silu = silu,
                Gate = atGate,
                GateRow = gateRow,
                State = atState,
                Y = atY,
            };
            switch (Width.For(sizes.C))
            {
                case 16: Run<Lanes512>(operands, threads); break;
                case 8: Run<Lanes256>(operands, threads); break;
                case 4: Run<Lanes128>(operands, threads); break;
                default: Reference(sizes, x, xRow, weight, bias, silu, gate, gateRow, state, y); break;
            }
        }
    }

    /// <summary>The gradients of everything Forward read, given those of y and of the state it left.</summary>
    /// <remarks>
    /// state is the one before Forward. dstate may be empty, for zeros; dbias and dgate are empty where bias and gate are. dx and
    /// dgate are [B, T, C] without gaps; what is asked for is overwritten.
    /// </remarks>
    /// <exception cref="ArgumentException">A span does not hold what its shape says.</exception>
    public static void Backward(
        ConvolutionSizes sizes, In x, int xRow, In weight, In bias, bool silu, In gate, int gateRow, In state, In dy, In dstate,
        Ref dx, Ref dweight, Ref dbias, Ref dgate, Ref dstate0, int threads = 0)
    {
        var (B, T, C, K) = sizes;
        Require(sizes, x, xRow, weight, bias, gate, gateRow, state);
        Shape.Require(dy, [B, T, C]);
        if (!dstate.IsEmpty) Shape.Require(dstate, [B, C, K - 1]);
        Require(sizes, dx, C, dweight, dbias, dgate, C, dstate0);
        Shape.Require(dbias, [bias.IsEmpty ? 0 : C]);
        Shape.Require(dgate, [gate.IsEmpty ? 0 : (long)B * T * C]);
        fixed (float* atX = x, atWeight = weight, atBias = bias, atGate = gate, atState = state, atDY = dy, atDState = dstate)
        fixed (float* atDX = dx, atDWeight = dweight, atDBias = dbias, atDGate = dgate, atDState0 = dstate0)
        {
            var operands = new ConvolutionOperands
            {
                Sizes = sizes,
                X = atX,
                XRow = xRow,
                Weight = atWeight,
                Bias = atBias,
                Silu = silu,
                Gate = atGate,
                GateRow = gateRow,
                State = atState,
                Y = atDY,
            };
            var gradients = new ConvolutionOperands { Sizes = sizes, X = atDX, Weight = atDWeight, Bias = atDBias, Gate = atDGate, State = atDState0 };
            switch (Width.For(C))
            {
                case 16: ConvolutionBackward<Lanes512>.Run(operands, gradients, atDState, threads); break;
                case 8: ConvolutionBackward<Lanes256>.Run(operands, gradients, atDState, threads); break;
                case 4: ConvolutionBackward<Lanes128>.Run(operands, gradients, atDState, threads); break;
                default:
                    ReferenceBackward(sizes, x, xRow, weight, bias, silu, gate, gateRow, state, dy, dstate, dx, dweight, dbias, dgate, dstate0);
                    break;
            }
        }
    }

    internal static void Reference(
        ConvolutionSizes sizes, In x, int xRow, In weight, In bias, bool silu, In gate, int gateRow, Ref state, Ref y)
    {
        var (B, T, C, K) = sizes;
        var padded = new float[K - 1 + T];
        for (int b = 0; b < B; b++)
            for (int c = 0; c < C; c++)
            {
                Pad(sizes, x, xRow, state, b, c, padded);
                for (int t = 0; t < T; t++)
                {
                    float sum = Filter(padded.AsSpan(t, K), weight.Slice(c * K, K), bias.IsEmpty ? 0 : bias[c]);
                    if (silu) sum *= Sigmoid.Of(sum);
                    y[(b * T + t) * C + c] = sum * (gate.IsEmpty ? 1 : gate[(b * T + t) * gateRow + c]);
                }
                padded.AsSpan(T).CopyTo(state.Slice((b * C + c) * (K - 1), K - 1));
            }
    }

    internal static void ReferenceBackward(
        ConvolutionSizes sizes, In x, int xRow, In weight, In bias, bool silu, In gate, int gateRow, In state, In dy, In dstate,
        Ref dx, Ref dweight, Ref dbias, Ref dgate, Ref dstate0)
    {
        var (B, T, C, K) = sizes;
        float[] padded = new float[K - 1 + T], dpadded = new float[K - 1 + T];
        dweight.Clear();
        dbias.Clear();
        for (int b = 0; b < B; b++)
            for (int c = 0; c < C; c++)
            {
                Pad(sizes, x, xRow, state, b, c, padded);
                dpadded.AsSpan().Clear();
                if (!dstate.IsEmpty) dstate.Slice((b * C + c) * (K - 1), K - 1).CopyTo(dpadded.AsSpan(T));
                for (int t = 0; t < T; t++)
                {
                    int at = (b * T + t) * C + c;
                    float sum = Filter(padded.AsSpan(t, K), weight.Slice(c * K, K), bias.IsEmpty ? 0 : bias[c]), d = dy[at];
                    if (!gate.IsEmpty)
                    {
                        dgate[at] = d * (silu ? sum * Sigmoid.Of(sum) : sum);
                        d *= gate[(b * T + t) * gateRow + c];
                    }
                    if (silu) d *= Sigmoid.SiluSlope(sum);
                    if (!dbias.IsEmpty) dbias[c] += d;
                    for (int k = 0; k < K; k++)
                    {
                        dweight[c * K + k] += d * padded[t + k];
                        dpadded[t + k] += d * weight[c * K + k];
                    }
                }
                dpadded.AsSpan(0, K - 1).CopyTo(dstate0.Slice((b * C + c) * (K - 1), K - 1));
                for (int t = 0; t < T; t++) dx[(b * T + t) * C + c] = dpadded[K - 1 + t];
            }
    }

    private static void Run<L>(ConvolutionOperands operands, int threads) where L : struct, ILanes<L>
    {
        if (operands.Sizes.T == 1) ConvolutionStep<L>.Run(operands, threads);
        else ConvolutionForward<L>.Run(operands, threads);
    }

    private static void Pad(ConvolutionSizes sizes, In x, int xRow, In state, int b, int c, float[] padded)
    {
        int before = sizes.K - 1;
        state.Slice((b * sizes.C + c) * before, before).CopyTo(padded);
        for (int t = 0; t < sizes.T; t++) padded[before + t] = x[(b * sizes.T + t) * xRow + c];
    }

    private static float Filter(In inputs, In taps, float sum)
    {
        for (int k = 0; k < taps.Length; k++) sum += taps[k] * inputs[k];
        return sum;
    }

    private static void Require(ConvolutionSizes sizes, In x, int xRow, In weight, In bias, In gate, int gateRow, In state)
    {
        var (B, T, C, K) = sizes;
        if (B < 1 || T < 1 || C < 1 || K < 1) throw new ArgumentException($"A convolution needs sizes of one or more, not {sizes}.");
        Shape.RequireRows(x, (long)B * T, C, xRow);
        Shape.Require(weight, [C, K]);
        if (!bias.IsEmpty) Shape.Require(bias, [C]);
        if (!gate.IsEmpty) Shape.RequireRows(gate, (long)B * T, C, gateRow);
        Shape.Require(state, [B, C, K - 1]);
    }
}

/// <summary>Where the operands of one call lie, or their gradients; shapes as in <see cref="ShortConvolution"/>.</summary>
internal unsafe struct ConvolutionOperands
{
    public ConvolutionSizes Sizes;
    public float* X, Weight, Bias, Gate, State, Y;
    public int XRow, GateRow;
    public bool Silu;
}
