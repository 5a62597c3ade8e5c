using ReadTwice.Native;
using TorchSharp;
using static ReadTwice.Native.Numbers;
using static TorchSharp.torch;

namespace ReadTwice;

public static partial class Ops
{
    /// <summary>The recurrence of Mamba-2 (arXiv 2405.21060), with one decay a head: S ← exp(Δ A) S + B (Δ x)ᵀ, y = Cᵀ S + D x.</summary>
    /// <param name="x">Inputs, [B, T, H, P].</param>
    /// <param name="delta">Time steps Δ, not negative, [B, T, H].</param>
    /// <param name="A">Decay, negative, [H].</param>
    /// <param name="Bt">Input maps, [B, T, G, N]; H / G neighbouring heads share one.</param>
    /// <param name="Ct">Output maps, [B, T, G, N].</param>
    /// <param name="D">Skip, [H, 1] or [H, P].</param>
    /// <param name="S">State before the piece, [B, H, N, P].</param>
    /// <returns>y [B, T, H, P] and the state after the piece.</returns>
    public static (Tensor Y, Tensor S) StateSpaceDuality(Tensor x, Tensor delta, Tensor A, Tensor Bt, Tensor Ct, Tensor D, Tensor S) =>
        Spans.Fit(x, delta, A, Bt, Ct, D, S) ? DualityFunction.Apply(x, delta, A, Bt, Ct, D, S) : DualityByOperators(x, delta, A, Bt, Ct, D, S);

    internal static (Tensor Y, Tensor S) DualityByOperators(Tensor x, Tensor delta, Tensor A, Tensor Bt, Tensor Ct, Tensor D, Tensor S)
    {
        const long Chunk = 64;
        using var scope = NewDisposeScope();
        long T = x.size(1), H = x.size(2), G = Bt.size(2), R = H / G;
        var log = Heads(delta * A);                                                            // [B, G, R, T]
        var u = Heads(x * delta.unsqueeze(-1));                                                // [B, G, R, T, P]
        var (b, c) = (Bt.transpose(1, 2), Ct.transpose(1, 2));                                 // [B, G, T, N]
        var state = S.unflatten(1, [G, R]);                                                    // [B, G, R, N, P]
        var pieces = new List<Tensor>();
        for (long i = 0; i < T; i += Chunk)
        {
            using var piece = NewDisposeScope();
            long n = Math.Min(Chunk, T - i);
            var (y, next) = DualChunk(log.narrow(3, i, n), u.narrow(3, i, n), b.narrow(2, i, n), c.narrow(2, i, n), state);
            pieces.Add(y.MoveToOuterDisposeScope());
            state = next.MoveToOuterDisposeScope();
        }
        var o = cat(pieces, 3).flatten(1, 2).transpose(1, 2).Plus(x * D);                          // [B, T, H, P]
        return (o.MoveToOuterDisposeScope(), state.flatten(1, 2).MoveToOuterDisposeScope());

        Tensor Heads(Tensor values) => values.unflatten(2, [G, R]).movedim([1], [3]);
    }

    // One chunk as attention without softmax, its scores faded by what lies between two tokens; the heads of a group side by side in a product.
    private static (Tensor Y, Tensor S) DualChunk(Tensor log, Tensor u, Tensor b, Tensor c, Tensor S)
    {
        Tensor Beside(Tensor heads) => heads.transpose(2, 3).flatten(3, 4);                    // [B, G, R, .., P] -> [B, G, .., R P]
        Tensor Apart(Tensor heads) => heads.unflatten(3, [S.size(2), S.size(4)]).transpose(2, 3);
        long n = u.size(3);

        // In double precision: the difference of two large sums decides how much of a near token is left.
        var sum = log.to(ScalarType.Float64).cumsum(-1);                                       // [B, G, R, n]
        var between = (sum.unsqueeze(-1) - sum.unsqueeze(-2)).to(log.dtype).tril();
        var scores = (Product(c, b.transpose(-2, -1)).unsqueeze(2) * between.exp()).tril();    // [B, G, R, n, n]
        var past = Apart(Product(c, Beside(S))) * sum.to(log.dtype).exp().unsqueeze(-1);
        var last = sum.narrow(-1, n - 1, 1);
        var rest = u * (last - sum).to(log.dtype).exp().unsqueeze(-1);                         // what the chunk's end has left of each token
        return (
            Product(scores, u).Plus(past),
            (S * last.to(log.dtype).exp().unsqueeze(-1)).Plus(Apart(Product(b.transpose(-2, -1), Beside(rest)))));
    }

    private sealed class DualityFunction : Recurrence<DualityFunction>
    {
        private const int X = 0, Delta = 1, A = 2, Bt = 3, Ct = 4, D = 5, S = 6;

        protected override void Read(Tensor[] inputs, Tensor state, Tensor y) =>
            Kernels.StateSpaceDuality.Forward(
                Sizes(inputs), Spans.In(inputs[X]), Spans.In(inputs[Delta]), Spans.In(inputs[A]), Spans.In(inputs[Bt]),
                Spans.In(inputs[Ct]), Spans.In(inputs[D]), Spans.Ref(state), Spans.Ref(y), Libtorch.Threads);

        protected override void ReadBack(Tensor[] inputs, Tensor after, Tensor dy, Tensor dState, Tensor[] gradients) =>
            Kernels.StateSpaceDuality.Backward(
                Sizes(inputs), Spans.In(inputs[X]), Spans.In(inputs[Delta]), Spans.In(inputs[A]), Spans.In(inputs[Bt]),
                Spans.In(inputs[Ct]), Spans.In(inputs[D]), Spans.In(inputs[S]), Spans.In(after), Spans.In(dy), Spans.In(dState),
                Spans.Ref(gradients[X]), Spans.Ref(gradients[Delta]), Spans.Ref(gradients[A]), Spans.Ref(gradients[Bt]),
                Spans.Ref(gradients[Ct]), Spans.Ref(gradients[D]), Spans.Ref(gradients[S]), Libtorch.Threads);

        private static Kernels.DualitySizes Sizes(Tensor[] inputs)
        {
            var (x, maps) = (inputs[X], inputs[Bt]);
            return new((int)x.size(0), (int)x.size(1), (int)x.size(2), (int)x.size(3), (int)maps.size(2), (int)maps.size(3));
        }
    }
}
