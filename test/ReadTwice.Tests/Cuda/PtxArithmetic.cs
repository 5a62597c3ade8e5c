using System.Numerics;

namespace ReadTwice.Tests.Cuda;

/// <summary>The instructions that compute a lane's result from the same lane's operands, by their full names.</summary>
/// <remarks>Registers hold 64 bits; of a narrower type the bits above are zero, and a predicate is 0 or 1.</remarks>
internal static class PtxArithmetic
{
    private static readonly string[] integers = ["b16", "u16", "s16", "b32", "u32", "s32", "b64", "u64", "s64"];
    private static readonly Dictionary<(string, int), Delegate> functions = Table();

    /// <summary>A function of one, two or three operands, or null.</summary>
    public static Delegate? Find(string opcode, int operands) => functions.GetValueOrDefault((opcode, operands));

    public static float Float(ulong bits) => BitConverter.UInt32BitsToSingle((uint)bits);

    public static ulong Bits(float value) => BitConverter.SingleToUInt32Bits(value);

    /// <summary>A bfloat16 as a float.</summary>
    public static float Wide(uint bits) => BitConverter.UInt32BitsToSingle(bits << 16);

    /// <summary>The nearest bfloat16, ties to even.</summary>
    public static uint Narrow(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? 0x7FFF : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    }

    private static Dictionary<(string, int), Delegate> Table()
    {
        var table = new Dictionary<(string, int), Delegate>();
        void One(string name, Func<ulong, ulong> f) => table[(name, 1)] = f;
        void Two(string name, Func<ulong, ulong, ulong> f) => table[(name, 2)] = f;
        void Three(string name, Func<ulong, ulong, ulong, ulong> f) => table[(name, 3)] = f;

        foreach (string type in integers)
        {
            int bits = int.Parse(type[1..]);
            bool isSigned = type[0] == 's';
            Two($"add.{type}", (a, b) => Cut(a + b, bits));
            Two($"sub.{type}", (a, b) => Cut(a - b, bits));
            Two($"mul.lo.{type}", (a, b) => Cut(a * b, bits));
            Three($"mad.lo.{type}", (a, b, c) => Cut(a * b + c, bits));
            Two($"mul.wide.{type}", (a, b) => Cut((ulong)(Value(a, type) * Value(b, type)), 2 * bits));
            Three($"mad.wide.{type}", (a, b, c) => Cut((ulong)(Value(a, type) * Value(b, type)) + c, 2 * bits));
            // A constant in the text has 64 bits, so what looks at all of an operand cuts it first.
            Two($"min.{type}", (a, b) => isSigned ? Cut((ulong)Math.Min(Value(a, type), Value(b, type)), bits) : Math.Min(Cut(a, bits), Cut(b, bits)));
            Two($"max.{type}", (a, b) => isSigned ? Cut((ulong)Math.Max(Value(a, type), Value(b, type)), bits) : Math.Max(Cut(a, bits), Cut(b, bits)));
            Two($"div.{type}", (a, b) => isSigned ? Cut((ulong)(Value(a, type) / Value(b, type)), bits) : Cut(a, bits) / Cut(b, bits));
            Two($"rem.{type}", (a, b) => isSigned ? Cut((ulong)(Value(a, type) % Value(b, type)), bits) : Cut(a, bits) % Cut(b, bits));
            One($"neg.{type}", a => Cut(0 - a, bits));
            One($"not.{type}", a => Cut(~a, bits));
            Two($"and.{type}", (a, b) => Cut(a & b, bits));
            Two($"or.{type}", (a, b) => Cut(a | b, bits));
            Two($"xor.{type}", (a, b) => Cut(a ^ b, bits));
            Two($"shl.{type}", (a, b) => b >= (ulong)bits ? 0 : Cut(a << (int)b, bits));
            Two($"shr.{type}", (a, b) => isSigned
                ? Cut((ulong)(Value(a, type) >> (int)Math.Min(b, (ulong)bits - 1)), bits)
                : b >= (ulong)bits ? 0 : Cut(a, bits) >> (int)b);
            Three($"selp.{type}", (a, b, p) => p != 0 ? Cut(a, bits) : Cut(b, bits));
            One($"cvta.to.global.{type}", a => a);
            One($"cvta.global.{type}", a => a);
            Compare(type);
            foreach (string from in integers) One($"cvt.{type}.{from}", a => Cut((ulong)Value(a, from), bits));
        }
        Compare("f32");
        One("not.pred", a => a ^ 1);
        Two("and.pred", (a, b) => a & b & 1);
        Two("or.pred", (a, b) => (a | b) & 1);
        Two("xor.pred", (a, b) => (a ^ b) & 1);
        Three("bfe.u32", (a, from, count) => a >> (int)from & ((1ul << (int)count) - 1));
        Three("prmt.b32", Permute);
        Three("shf.l.wrap.b32", (low, high, by) => BitOperations.RotateLeft(high << 32 | low, (int)(by & 31)) >> 32 & uint.MaxValue);

        foreach (string rounding in new[] { "", ".rn" })
        {
            Two($"add{rounding}.f32", (a, b) => Bits(Float(a) + Float(b)));
            Two($"sub{rounding}.f32", (a, b) => Bits(Float(a) - Float(b)));
            Two($"mul{rounding}.f32", (a, b) => Bits(Float(a) * Float(b)));
        }
        Three("fma.rn.f32", (a, b, c) => Bits(MathF.FusedMultiplyAdd(Float(a), Float(b), Float(c))));
        Two("div.rn.f32", (a, b) => Bits(Float(a) / Float(b)));
        One("rcp.rn.f32", a => Bits(1 / Float(a)));
        One("neg.f32", a => a ^ 0x80000000);
        One("ex2.approx.ftz.f32", a => Bits(MathF.Pow(2, Float(a))));
        Three("selp.f32", (a, b, p) => p != 0 ? a : b);
        Three("fma.rn.bf16x2", (a, b, c) => Halves(a, b, c, (x, y, z) => (float)((double)x * y + z)));
        Two("cvt.rn.bf16x2.f32", (high, low) => Narrow(Float(high)) << 16 | Narrow(Float(low)));
        One("cvt.rn.f32.s32", a => Bits((int)a));
        One("cvt.rn.f32.u32", a => Bits((uint)a));
        return table;

        void Compare(string type)
        {
            bool isFloat = type == "f32";
            int bits = int.Parse(type[1..]);
            Test("eq", (a, b) => a == b);
            Test("ne", (a, b) => a != b);
            Test("lt", (a, b) => a < b);
            Test("le", (a, b) => a <= b);
            Test("gt", (a, b) => a > b);
            Test("ge", (a, b) => a >= b);
            // Unordered: true where one is not a number.
            Test("neu", (a, b) => !(a == b));
            Test("leu", (a, b) => !(a > b));
            Test("gtu", (a, b) => !(a <= b));
            Test("ltu", (a, b) => !(a >= b));
            Test("geu", (a, b) => !(a < b));

            void Test(string name, Func<double, double, bool> holds)
            {
                if (isFloat) Two($"setp.{name}.f32", (a, b) => holds(Float(a), Float(b)) ? 1ul : 0);
                // Addresses have more digits than a double, so integers are compared by the sign of their order.
                else Two($"setp.{name}.{type}", (a, b) =>
                    holds(type[0] == 's' ? Value(a, type).CompareTo(Value(b, type)) : Cut(a, bits).CompareTo(Cut(b, bits)), 0) ? 1ul : 0);
            }
        }
    }

    private static ulong Cut(ulong value, int bits) => bits >= 64 ? value : value & ((1ul << bits) - 1);

    private static long Value(ulong bits, string type) => type switch
    {
        "s16" => (short)bits,
        "s32" => (int)bits,
        "u16" or "b16" => (ushort)bits,
        "u32" or "b32" => (uint)bits,
        _ => (long)bits,
    };

    private static ulong Permute(ulong a, ulong b, ulong selector)
    {
        ulong bytes = (uint)a | b << 32, result = 0;
        for (int i = 0; i < 4; i++)
        {
            int select = (int)(selector >> (4 * i)) & 15;
            ulong chosen = bytes >> (8 * (select & 7)) & 255;
            if (select > 7) chosen = (chosen & 128) != 0 ? 255ul : 0;   // the sign alone
            result |= chosen << (8 * i);
        }
        return result;
    }

    private static ulong Halves(ulong a, ulong b, ulong c, Func<float, float, float, float> f)
    {
        uint low = Narrow(f(Wide((uint)a & 0xFFFF), Wide((uint)b & 0xFFFF), Wide((uint)c & 0xFFFF)));
        uint high = Narrow(f(Wide((uint)a >> 16), Wide((uint)b >> 16), Wide((uint)c >> 16)));
        return high << 16 | low;
    }
}
