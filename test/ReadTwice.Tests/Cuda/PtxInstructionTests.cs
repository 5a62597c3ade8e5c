using System.Runtime.InteropServices;

namespace ReadTwice.Tests.Cuda;

/// <summary>The interpreter, one instruction at a time: a mistake in it would show as a failure of a good kernel, or hide that of a bad one.</summary>
public unsafe class PtxInstructionTests
{
    [Theory]
    [InlineData("add.s32 %r9, -1, 3", 2u)]
    [InlineData("add.s32 %r9, 2147483647, 1", 0x80000000u)]
    [InlineData("sub.s32 %r9, 1, 3", 0xFFFFFFFEu)]
    [InlineData("mul.lo.s32 %r9, -2, 3", 0xFFFFFFFAu)]
    [InlineData("mul.wide.s32 %r9, -2, 3", 0xFFFFFFFAu)]
    [InlineData("mul.wide.u32 %r9, 65536, 65535", 0xFFFF0000u)]
    [InlineData("mad.lo.s32 %r9, 3, -4, 1", 0xFFFFFFF5u)]
    [InlineData("mad.wide.s32 %r9, 3, -4, 1", 0xFFFFFFF5u)]
    [InlineData("min.s32 %r9, -1, 2", 0xFFFFFFFFu)]
    [InlineData("min.u32 %r9, -1, 2", 2u)]
    [InlineData("max.s32 %r9, -1, 2", 2u)]
    [InlineData("max.u32 %r9, -1, 2", 0xFFFFFFFFu)]
    [InlineData("div.s32 %r9, -7, 2", 0xFFFFFFFDu)]
    [InlineData("div.u32 %r9, -7, 2", 0x7FFFFFFCu)]
    [InlineData("rem.s32 %r9, -7, 2", 0xFFFFFFFFu)]
    [InlineData("rem.u32 %r9, 7, 4", 3u)]
    [InlineData("neg.s32 %r9, 1", 0xFFFFFFFFu)]
    [InlineData("not.b32 %r9, 1", 0xFFFFFFFEu)]
    [InlineData("and.b32 %r9, 12, 10", 8u)]
    [InlineData("or.b32 %r9, 12, 10", 14u)]
    [InlineData("xor.b32 %r9, 12, -1", 0xFFFFFFF3u)]
    [InlineData("shl.b32 %r9, 3, 31", 0x80000000u)]
    [InlineData("shl.b32 %r9, 3, 32", 0u)]
    [InlineData("shr.u32 %r9, -1, 28", 15u)]
    [InlineData("shr.s32 %r9, -16, 2", 0xFFFFFFFCu)]
    [InlineData("shr.s32 %r9, -16, 40", 0xFFFFFFFFu)]
    [InlineData("bfe.u32 %r9, 0x12345678, 8, 8", 0x56u)]
    [InlineData("prmt.b32 %r9, 0x33221100, 0x77665544, 0x5432", 0x55443322u)]
    [InlineData("prmt.b32 %r9, 0x80, 0, 0x4448", 0xFFu)]
    [InlineData("selp.b32 %r9, 5, 6, 1", 5u)]
    [InlineData("selp.b32 %r9, 5, 6, 0", 6u)]
    [InlineData("setp.lt.s32 %r9, -1, 0", 1u)]
    [InlineData("setp.lt.u32 %r9, -1, 0", 0u)]
    [InlineData("setp.ge.s32 %r9, 2, 2", 1u)]
    [InlineData("setp.eq.s64 %r9, -1, -1", 1u)]
    [InlineData("setp.ne.b32 %r9, 4294967295, -1", 0u)]
    [InlineData("setp.neu.f32 %r9, 0f7FC00000, 0f00000000", 1u)]
    [InlineData("setp.eq.f32 %r9, 0f7FC00000, 0f7FC00000", 0u)]
    [InlineData("setp.gt.f32 %r9, 0f40000000, 0f3F800000", 1u)]
    [InlineData("xor.pred %r9, 1, -1", 0u)]
    [InlineData("not.pred %r9, 0", 1u)]
    [InlineData("and.pred %r9, 1, 1", 1u)]
    [InlineData("or.pred %r9, 0, 1", 1u)]
    [InlineData("cvt.s64.s32 %r9, -5", 0xFFFFFFFBu)]
    [InlineData("cvt.u16.u32 %r9, 0x12345", 0x2345u)]
    [InlineData("cvt.u32.u16 %r9, 0xFFFF", 0xFFFFu)]
    [InlineData("cvt.rn.f32.s32 %r9, -2", 0xC0000000u)]
    [InlineData("cvt.rn.f32.u32 %r9, 3", 0x40400000u)]
    [InlineData("add.f32 %r9, 0f3F800000, 0f40000000", 0x40400000u)]
    [InlineData("sub.f32 %r9, 0f3F800000, 0f40000000", 0xBF800000u)]
    [InlineData("mul.rn.f32 %r9, 0f40000000, 0f40400000", 0x40C00000u)]
    [InlineData("fma.rn.f32 %r9, 0f40000000, 0f40400000, 0f3F800000", 0x40E00000u)]
    [InlineData("div.rn.f32 %r9, 0f3F800000, 0f40000000", 0x3F000000u)]
    [InlineData("rcp.rn.f32 %r9, 0f40800000", 0x3E800000u)]
    [InlineData("neg.f32 %r9, 0f00000000", 0x80000000u)]
    [InlineData("ex2.approx.ftz.f32 %r9, 0f40000000", 0x40800000u)]
    [InlineData("fma.rn.bf16x2 %r9, 0x40403F80, 0x40003F80, 0x80008000", 0x40C03F80u)]      // (3·2, 1·1)
    [InlineData("cvt.rn.bf16x2.f32 %r9, 0f40000000, 0f3F808000", 0x40003F80u)]            // a tie goes to even
    [InlineData("cvt.rn.bf16x2.f32 %r9, 0f40000000, 0f3F818000", 0x40003F82u)]
    [InlineData("shf.l.wrap.b32 %r9, 0x80000000, 1, 1", 3u)]
    [InlineData("mov.b32 %r9, {7, 5}", 0x00050007u)]
    public void An_instruction_gives_what_the_manual_says(string instruction, uint expected) =>
        Assert.All(Run($"{instruction};"), value => Assert.Equal(expected, value));

    [Theory]
    [InlineData("shfl.sync.idx.b32 %r9, %r1, 5, 0x1f, 0xffffffff;", new uint[] { 5, 5, 5, 5 })]
    [InlineData("shfl.sync.bfly.b32 %r9, %r1, 1, 0x1f, 0xffffffff;", new uint[] { 1, 0, 3, 2 })]
    [InlineData("shfl.sync.up.b32 %r9, %r1, 2, 0x1f, 0xffffffff;", new uint[] { 0, 1, 0, 1 })]
    [InlineData("shfl.sync.down.b32 %r9, %r1, 30, 0x1f, 0xffffffff;", new uint[] { 30, 31, 2, 3 })]
    [InlineData("mov.u32 %r9, 0; setp.lt.u32 %p1, %r1, 2; @%p1 mov.u32 %r9, 1;", new uint[] { 1, 1, 0, 0 })]
    [InlineData("mov.u32 %r9, 0; setp.lt.u32 %p1, %r1, 2; @!%p1 bra $skip; mov.u32 %r9, 1; $skip: add.s32 %r9, %r9, 4;", new uint[] { 5, 5, 4, 4 })]
    [InlineData("mov.u32 %r9, 3; mov.u32 %r2, 0; $more: add.s32 %r9, %r9, 1; add.s32 %r2, %r2, 1; setp.le.u32 %p1, %r2, %r1; @%p1 bra $more;", new uint[] { 4, 5, 6, 7 })]
    public void Lanes_go_their_own_ways(string code, uint[] first) => Assert.Equal(first, Run(code)[..4]);

    [Fact]
    public void A_product_of_matrices_lies_where_the_manual_says()
    {
        // A = I scaled by 2 in the left half, so D [16, 8] has twice row g of B in row g, and C below.
        uint[] d = Run("""
            shr.u32 %r2, %r1, 2; and.b32 %r3, %r1, 3; shl.b32 %r4, %r3, 1;
            setp.eq.u32 %p1, %r2, %r4; add.s32 %r5, %r4, 1; setp.eq.u32 %p2, %r2, %r5;
            selp.b32 %r6, 0x4000, 0, %p1; selp.b32 %r7, 0x40000000, 0, %p2; or.b32 %r6, %r6, %r7;
            add.s32 %r10, %r4, 1; cvt.rn.f32.u32 %f1, %r4; cvt.rn.f32.u32 %f2, %r10; cvt.rn.bf16x2.f32 %r8, %f2, %f1;
            mov.f32 %f5, 0f3F800000; mov.f32 %f6, 0f3F800000; mov.f32 %f7, 0f41000000; mov.f32 %f8, 0f41000000;
            mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f5,%f6,%f7,%f8}, {%r6,0,0,0}, {%r8,0}, {%f5,%f6,%f7,%f8};
            mov.b32 %r9, %f5;
            """);
        // B [k, n] = k, so D [g, n] = 2 g + 1 for the first eight rows.
        for (int lane = 0; lane < 32; lane++) Assert.Equal(2f * (lane >> 2) + 1, BitConverter.UInt32BitsToSingle(d[lane]));
    }

    [Theory]
    [InlineData("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r9,%r11,%r12,%r13}, [%r8];", false)]
    [InlineData("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%r9,%r11,%r12,%r13}, [%r8];", true)]
    public void Matrices_are_loaded_row_by_row_or_transposed(string load, bool transposed)
    {
        // Element i of shared memory is i; row r of the first matrix is elements 8 r .. 8 r + 7.
        uint[] r = Run($"""
            shl.b32 %r2, %r1, 4; mov.u32 %r3, scratch; add.s32 %r8, %r3, %r2; shl.b32 %r4, %r1, 3;
            mad.lo.s32 %r5, %r4, 65537, 0x00010000; add.s32 %r6, %r5, 0x00020002; add.s32 %r7, %r5, 0x00040004; add.s32 %r10, %r5, 0x00060006;
            st.shared.v4.u32 [%r8], {"{%r5,%r6,%r7,%r10}"};
            {load}
            """, "");
        for (int lane = 0; lane < 32; lane++)
        {
            var (g, t) = ((uint)lane >> 2, (uint)lane & 3);
            uint expected = transposed ? 16 * t + g | (16 * t + 8 + g) << 16 : 8 * g + 2 * t | (8 * g + 2 * t + 1) << 16;
            Assert.Equal(expected, r[lane]);
        }
    }

    [Theory]
    [InlineData("ld.shared.u32 %r9, [scratch];", "nobody wrote")]
    [InlineData("ld.shared.u32 %r9, [scratch+4096];", "out of bounds")]
    [InlineData("st.shared.u32 [scratch+2], %r1;", "not a multiple of 4")]
    [InlineData("st.shared.u32 [scratch], %r1; ld.shared.u32 %r9, [scratch];", "with no barrier between")]
    [InlineData("setp.eq.u32 %p1, %r0, 0; @%p1 st.shared.u32 [scratch], 1; @%p1 ld.shared.u32 %r9, [scratch]; @!%p1 st.shared.u32 [scratch], 2;", "no barrier between")]
    [InlineData("ld.global.u32 %r9, [%rd1+-4];", "out of bounds")]
    [InlineData("ld.global.u32 %r9, [%rd1+2];", "not a multiple of 4")]
    [InlineData("setp.eq.u32 %p1, %r14, 0; @%p1 cp.async.cg.shared.global [scratch], [%rd1], 16, 16; cp.async.commit_group; ld.shared.u32 %r9, [scratch];", "in flight")]
    [InlineData("setp.eq.u32 %p1, %r1, 0; @%p1 shfl.sync.bfly.b32 %r9, %r1, 1, 0x1f, 0xffffffff;", "needs the whole warp")]
    [InlineData("setp.eq.u32 %p1, %r1, 0; @%p1 bar.sync 0;", "only a part of warp")]
    [InlineData("mul.hi.s32 %r9, %r1, %r1;", "is not known")]
    [InlineData("mma.sync.alinged.m16n8k16.row.col.f32.bf16.bf16.f32 {%f5,%f6,%f7,%f8}, {0,0,0,0}, {0,0}, {%f5,%f6,%f7,%f8};", "is not known")]
    public void What_hardware_does_not_define_is_an_error(string code, string message) =>
        Assert.Contains(message, Assert.Throws<PtxException>(() => Run(code, threads: 64)).Message);

    // Runs code that leaves a number in %r9; %r1 is the lane, %r0 the warp, %rd1 global memory with room for each thread's number.
    private static uint[] Run(string code, string more = "", int threads = 32)
    {
        string text = $$"""
            .version 7.0
            .target sm_80
            .visible .entry one(
                .param .u64 one_param_0
            )
            {
                .reg .b32 %r<20>;
                .shared .align 16 .b8 scratch[1024];
                ld.param.u64 %rd1, [one_param_0];
                mov.u32 %r14, %tid.x;
                and.b32 %r1, %r14, 31;
                shr.u32 %r0, %r14, 5;
                mov.u32 %r9, 0;
                {{code}}{{more}}
                mul.wide.u32 %rd2, %r14, 4;
                add.s64 %rd3, %rd1, %rd2;
                st.global.u32 [%rd3], %r9;
                ret;
            }
            """;
        var memory = (uint*)NativeMemory.AlignedAlloc((nuint)threads * sizeof(uint), 256);
        try
        {
            using var global = new PtxGlobalMemory();
            global.Add((nint)memory, threads * sizeof(uint));
            PtxDevice.Run(PtxParser.Parse(text, "one"), global, (1, 1, 1), threads, 0, BitConverter.GetBytes((ulong)memory));
            return new Span<uint>(memory, threads).ToArray();
        }
        finally
        {
            NativeMemory.AlignedFree(memory);
        }
    }
}
