using ReadTwice.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace ReadTwice.Tests;

public sealed class NumbersTests
{
    [Fact]
    public void A_number_is_made_once()
    {
        Assert.Same(Numbers.Number(0.37), Numbers.Number(0.37));
        Assert.Same(Numbers.Number(37), Numbers.Number(37));
    }

    [Fact]
    public void A_whole_number_leaves_whole_numbers_whole_and_a_fraction_does_not()
    {
        using var scope = NewDisposeScope();
        var x = Numbers.Integers(3, 6);
        Assert.Equal([3L, 4L, 5L], x.data<long>().ToArray());
        Assert.Equal([6L, 8L, 10L], (x * Numbers.Number(2)).data<long>().ToArray());
        Assert.Equal([8L, 9L, 10L], x.Plus(5).data<long>().ToArray());
        Assert.Equal(ScalarType.Float32, (x * Numbers.Number(2.0)).dtype);
    }

    [Fact]
    public void Sums_and_the_functions_that_take_no_numbers_give_what_libtorch_gives()
    {
        // Two forms of one function, each rounded a few times in float32.
        const double Tolerance = 2e-6;
        using var scope = NewDisposeScope();
        var x = linspace(-30, 30, 121);
        Assert.True(x.Plus(x).equal(x + x).all().item<bool>());
        Assert.True(x.Plus(0.25).equal(x + 0.25).all().item<bool>());
        Assert.True(x.Softplus().allclose(nn.functional.softplus(x), Tolerance, Tolerance));
        Assert.True(x.EluPlusOne().allclose(nn.functional.elu(x, 1) + 1, Tolerance, Tolerance));
    }
}
