// What the kernels say to the hardware: clang compiles this without any CUDA header, nvcc with its own.
#pragma once
#if defined(__clang__)
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#define __syncthreads() __nvvm_bar_sync(0)
#define __syncwarp() asm volatile("bar.warp.sync 0xffffffff;" ::: "memory")
#include <__clang_cuda_builtin_vars.h>
#endif
#define DEVICE static __device__ inline __attribute__((always_inline))
typedef unsigned int u32;
typedef unsigned short bf16;   // its bits
typedef long long i64;

extern __shared__ __attribute__((aligned(128))) unsigned char sharedMemory[];

DEVICE u32 sharedAddress() {
#if defined(__clang__)
  return (u32)(unsigned long long)(__attribute__((address_space(3))) unsigned char*)sharedMemory;
#else
  return (u32)__cvta_generic_to_shared(sharedMemory);
#endif
}

DEVICE float asFloat(u32 bits) { return __builtin_bit_cast(float, bits); }
DEVICE u32 asBits(float value) { return __builtin_bit_cast(u32, value); }

// A pair of bf16 in one register, the first in the low half.
DEVICE float first(u32 pair) { return asFloat(pair << 16); }
DEVICE float second(u32 pair) { return asFloat(pair & 0xFFFF0000u); }
DEVICE u32 pack(float first, float second) {
  u32 pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}
// A product of pairs, as a sum with -0: the plain product needs sm_90.
DEVICE u32 times(u32 a, u32 b) {
  u32 product;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(product) : "r"(a), "r"(b), "r"(0x80008000u));
  return product;
}
// (second of a, first of b): the pair that lies across two.
DEVICE u32 across(u32 a, u32 b) {
  u32 pair;
  asm("prmt.b32 %0, %1, %2, 0x5432;" : "=r"(pair) : "r"(a), "r"(b));
  return pair;
}

DEVICE u32 fromLane(u32 value, int lane) {
  u32 result;
  asm volatile("shfl.sync.idx.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(result) : "r"(value), "r"(lane));
  return result;
}
DEVICE u32 fromNeighbour(u32 value, int distance) {
  u32 result;
  asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(result) : "r"(value), "r"(distance));
  return result;
}
DEVICE float fromNeighbour(float value, int distance) { return asFloat(fromNeighbour(asBits(value), distance)); }
// The sum over the four lanes that share rows of a tile.
DEVICE float quadSum(float value) {
  value += fromNeighbour(value, 1);
  return value + fromNeighbour(value, 2);
}

// D [16, 8] += A [16, 16] B [16, 8]. Lane 4 g + t has rows g and g + 8: of D columns 2 t and 2 t + 1; of A those and 8 more to
// the right, as (g, g + 8) of the left half, then of the right; of B column g, rows 2 t and 2 t + 1 and those 8 below.
DEVICE void multiplyAdd(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four matrices [8, 8]; lane 8 m + i gives the address of row i of the m-th.
DEVICE void loadMatrices(u32 (&r)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
    : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}
DEVICE void loadTransposed(u32 (&r)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
    : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

// 16 bytes from global to shared memory while the warp goes on; zeros where there is nothing to copy.
DEVICE void copy16(u32 to, const void* from, bool exists) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(to), "l"(from), "r"(exists ? 16 : 0) : "memory");
}
DEVICE void endGroup() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int Left> DEVICE void waitUntilLeft() { asm volatile("cp.async.wait_group %0;" :: "n"(Left) : "memory"); }

template <int Offset> DEVICE u32 loadShared(u32 address) {
  u32 value;
  asm volatile("ld.shared.u32 %0, [%1+%2];" : "=r"(value) : "r"(address), "n"(Offset) : "memory");
  return value;
}
DEVICE void loadShared(u32 (&r)[4], u32 address) {
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}
DEVICE void storeShared(u32 address, u32 value) { asm volatile("st.shared.u32 [%0], %1;" :: "r"(address), "r"(value) : "memory"); }
DEVICE void storeShared(u32 address, u32 a, u32 b) {
  asm volatile("st.shared.v2.u32 [%0], {%1,%2};" :: "r"(address), "r"(a), "r"(b) : "memory");
}
DEVICE void storeShared(u32 address, u32 a, u32 b, u32 c, u32 d) {
  asm volatile("st.shared.v4.u32 [%0], {%1,%2,%3,%4};" :: "r"(address), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}
DEVICE void storeGlobal(void* address, u32 a, u32 b) { asm volatile("st.global.v2.u32 [%0], {%1,%2};" :: "l"(address), "r"(a), "r"(b) : "memory"); }
DEVICE void storeGlobal(void* address, u32 a, u32 b, u32 c, u32 d) {
  asm volatile("st.global.v4.u32 [%0], {%1,%2,%3,%4};" :: "l"(address), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}
DEVICE void loadGlobal(u32 (&r)[4], const void* address) {
  asm volatile("ld.global.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "l"(address) : "memory");
}
