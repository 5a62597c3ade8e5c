using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ReadTwice.Kernels;

/// <summary>A SIMD register of floats. A kernel written over it is compiled once for each width, and picks one when it starts.</summary>
internal unsafe interface ILanes<TSelf> : IRow<TSelf, TSelf> where TSelf : struct, ILanes<TSelf>
{
    /// <summary>Floats in a register.</summary>
    static abstract int Count { get; }

    /// <summary>Registers in the widest row of which six, one more row and one value stay in the registers of the processor.</summary>
    static abstract int WidestRow { get; }

    static abstract TSelf Create(float value);
    static abstract float Sum(TSelf a);

    /// <summary>Adds all lanes until four are left.</summary>
    static abstract Vector128<float> Fold(TSelf a);

    static abstract TSelf operator +(TSelf a, TSelf b);
    static abstract TSelf operator -(TSelf a, TSelf b);
    static abstract TSelf operator /(TSelf a, TSelf b);
    static abstract TSelf Min(TSelf a, TSelf b);
    static abstract TSelf Max(TSelf a, TSelf b);

    /// <summary>Keeps the lanes from <paramref name="first"/> on and puts zero into those before, whatever they hold.</summary>
    static abstract TSelf From(TSelf a, int first);

    /// <summary>Count numbers that lie in memory as bfloat16.</summary>
    static abstract TSelf LoadBFloat16(ushort* from);

    /// <summary>Count whole numbers of one byte.</summary>
    static abstract TSelf LoadInt8(sbyte* from);
}

internal readonly unsafe struct Lanes512(Vector512<float> lanes) : ILanes<Lanes512>
{
    private readonly Vector512<float> lanes = lanes;

    public static int Count => 16;
    public static int WidestRow => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Load(float* from) => new(Vector512.Load(from));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* to) => lanes.Store(to);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Create(float value) => new(Vector512.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Lanes512 a) => Vector512.Sum(a.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Fold(Lanes512 a) => Lanes256.Fold(new(a.lanes.GetLower() + a.lanes.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 operator +(Lanes512 a, Lanes512 b) => new(a.lanes + b.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 operator *(Lanes512 a, Lanes512 b) => new(a.lanes * b.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Dot(Lanes512 x, Lanes512 y) => x * y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 operator -(Lanes512 a, Lanes512 b) => new(a.lanes - b.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 operator /(Lanes512 a, Lanes512 b) => new(a.lanes / b.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Min(Lanes512 a, Lanes512 b) => new(Vector512.Min(a.lanes, b.lanes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Max(Lanes512 a, Lanes512 b) => new(Vector512.Max(a.lanes, b.lanes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Scale(Lanes512 factor, Lanes512 row) => factor * row;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 MultiplyAdd(Lanes512 factor, Lanes512 row, Lanes512 sum) =>
        new(Vector512.MultiplyAddEstimate(factor.lanes, row.lanes, sum.lanes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 From(Lanes512 a, int first) => new(Vector512.ConditionalSelect(
        Vector512.LessThan(Vector512<int>.Indices, Vector512.Create(first)).AsSingle(), default, a.lanes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 LoadBFloat16(ushort* from) =>
        new(Vector512.ShiftLeft(Vector512.WidenLower(Vector256.Load(from).ToVector512Unsafe()), 16).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 LoadInt8(sbyte* from)
    {
        var bytes = Vector128.Load(from);
        return new(Vector512.ConvertToSingle(Avx512F.IsSupported
            ? Avx512F.ConvertToVector512Int32(bytes)
            : Vector512.WidenLower(Vector256.WidenLower(bytes.ToVector256Unsafe()).ToVector512Unsafe())));
    }
}

internal readonly unsafe struct Lanes256(Vector256<float> lanes) : ILanes<Lanes256>
{
    private readonly Vector256<float> lanes = lanes;

    public static int Count => 8;
    public static int WidestRow => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Load(float* from) => new(Vector256.Load(from));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* to) => lanes.Store(to);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Create(float value) => new(Vector256.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Lanes256 a) => Vector256.Sum(a.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Fold(Lanes256 a) => a.lanes.GetLower() + a.lanes.GetUpper();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 operator +(Lanes256 a, Lanes256 b) => new(a.lanes + b.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 operator *(Lanes256 a, Lanes256 b) => new(a.lanes * b.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Dot(Lanes256 x, Lanes256 y) => x * y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 operator -(Lanes256 a, Lanes256 b) => new(a.lanes - b.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 operator /(Lanes256 a, Lanes256 b) => new(a.lanes / b.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Min(Lanes256 a, Lanes256 b) => new(Vector256.Min(a.lanes, b.lanes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Max(Lanes256 a, Lanes256 b) => new(Vector256.Max(a.lanes, b.lanes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Scale(Lanes256 factor, Lanes256 row) => factor * row;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 MultiplyAdd(Lanes256 factor, Lanes256 row, Lanes256 sum) =>
        new(Vector256.MultiplyAddEstimate(factor.lanes, row.lanes, sum.lanes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 From(Lanes256 a, int first) => new(Vector256.ConditionalSelect(
        Vector256.LessThan(Vector256<int>.Indices, Vector256.Create(first)).AsSingle(), default, a.lanes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 LoadBFloat16(ushort* from) =>
        new(Vector256.ShiftLeft(Vector256.WidenLower(Vector128.Load(from).ToVector256Unsafe()), 16).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 LoadInt8(sbyte* from) => new(Vector256.ConvertToSingle(Avx2.IsSupported
        ? Avx2.ConvertToVector256Int32(from)
        : Vector256.WidenLower(Vector128.WidenLower(Vector128.CreateScalarUnsafe(*(long*)from).AsSByte()).ToVector256Unsafe())));
}

internal readonly unsafe struct Lanes128(Vector128<float> lanes) : ILanes<Lanes128>
{
    private readonly Vector128<float> lanes = lanes;

    public static int Count => 4;
    public static int WidestRow => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Load(float* from) => new(Vector128.Load(from));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* to) => lanes.Store(to);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Create(float value) => new(Vector128.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Lanes128 a) => Vector128.Sum(a.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Fold(Lanes128 a) => a.lanes;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator +(Lanes128 a, Lanes128 b) => new(a.lanes + b.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator *(Lanes128 a, Lanes128 b) => new(a.lanes * b.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Dot(Lanes128 x, Lanes128 y) => x * y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator -(Lanes128 a, Lanes128 b) => new(a.lanes - b.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator /(Lanes128 a, Lanes128 b) => new(a.lanes / b.lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Min(Lanes128 a, Lanes128 b) => new(Vector128.Min(a.lanes, b.lanes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Max(Lanes128 a, Lanes128 b) => new(Vector128.Max(a.lanes, b.lanes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Scale(Lanes128 factor, Lanes128 row) => factor * row;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 MultiplyAdd(Lanes128 factor, Lanes128 row, Lanes128 sum) =>
        new(Vector128.MultiplyAddEstimate(factor.lanes, row.lanes, sum.lanes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 From(Lanes128 a, int first) => new(Vector128.ConditionalSelect(
        Vector128.LessThan(Vector128<int>.Indices, Vector128.Create(first)).AsSingle(), default, a.lanes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 LoadBFloat16(ushort* from) => new(Vector128.ShiftLeft(
        Vector128.WidenLower(Vector128.CreateScalarUnsafe(*(long*)from).AsUInt16()), 16).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 LoadInt8(sbyte* from) => new(Vector128.ConvertToSingle(
        Vector128.WidenLower(Vector128.WidenLower(Vector128.CreateScalarUnsafe(*(int*)from).AsSByte()))));
}
