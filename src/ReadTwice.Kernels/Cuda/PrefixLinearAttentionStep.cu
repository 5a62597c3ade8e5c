// One token of prefix linear attention: S += φ(k) vᵀ, o = φ(q) S / φ(q)·z. A block has 16 columns of one head's state.
#include "Taylor.cuh"

struct StepArguments {
  const bf16 *q, *k, *v;   // [B, H, K], [B, H, K], [B, H, V]
  const float *S, *z;      // the state before: [B, H, F, V], [B, H, F]
  float *endS, *endZ;      // the state after, elsewhere: other blocks of the head still read z
  bf16* o;                 // [B, H, V]
  int H, V;
  float scale;
};

constexpr int Threads = 128, Columns = 16, Lanes = Columns / 4;   // four lanes of 16 bytes for a row of the state
constexpr float Epsilon = 1e-12f;

DEVICE float wide(bf16 value) { return first(value); }

extern "C" __global__ void __launch_bounds__(128) prefixLinearAttentionStep(const StepArguments p) {
  __shared__ float queries[F], keys[F], norms[Threads / 32], sums[Threads / 32][Columns];
  int thread = threadIdx.x, warp = thread >> 5, lane = thread & 31, column = blockIdx.z * Columns + (thread & 3) * 4;
  i64 head = (i64)blockIdx.y * p.H + blockIdx.x;
  const bf16 *q = p.q + head * K, *k = p.k + head * K;
  const float* z = p.z + head * F;
  float norm = 0;
  for (int f = thread; f < F; f += Threads) {
    float byQuery = 1, byKey = 1;
    if (f > K) {
      // The rows of pairs are those of a triangle: row i starts at 1 + K + i (i + 1) / 2.
      int i = 0;
      while (pairRow(i + 1, 0) <= f) i++;
      int j = f - pairRow(i, 0);
      byQuery = p.scale * p.scale * wide(q[i]) * wide(q[j]) * (i == j ? 0.5f : 1.f);
      byKey = wide(k[i]) * wide(k[j]);
    } else if (f > 0) {
      byQuery = p.scale * wide(q[f - 1]);
      byKey = wide(k[f - 1]);
    }
    queries[f] = byQuery;
    keys[f] = byKey;
    float after = z[f] + byKey;
    norm += byQuery * after;
    if (blockIdx.z == 0) p.endZ[head * F + f] = after;
  }
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) norm += fromNeighbour(norm, distance);
  if (lane == 0) norms[warp] = norm;
  __syncthreads();

  u32 values[2] = {*(const u32*)(p.v + head * p.V + column), *(const u32*)(p.v + head * p.V + column + 2)};
  float v[4] = {first(values[0]), second(values[0]), first(values[1]), second(values[1])}, sum[4] = {0, 0, 0, 0};
#pragma unroll
  for (int i = 0; i < (F + Threads / Lanes - 1) / (Threads / Lanes); i++) {
    int f = i * (Threads / Lanes) + thread / Lanes;
    if (f >= F) break;
    i64 at = (head * F + f) * p.V + column;
    u32 row[4];
    loadGlobal(row, p.S + at);
#pragma unroll
    for (int j = 0; j < 4; j++) {
      float after = asFloat(row[j]) + keys[f] * v[j];
      sum[j] += queries[f] * after;
      row[j] = asBits(after);
    }
    storeGlobal(p.endS + at, row[0], row[1], row[2], row[3]);
  }
#pragma unroll
  for (int j = 0; j < 4; j++) {
#pragma unroll
    for (int distance = 4; distance < 32; distance *= 2) sum[j] += fromNeighbour(sum[j], distance);
    if (lane < 4) sums[warp][lane * 4 + j] = sum[j];
  }
  __syncthreads();
  if (thread >= Columns / 2) return;
  float total = Epsilon, low = 0, high = 0;
#pragma unroll
  for (int w = 0; w < Threads / 32; w++) {
    total += norms[w];
    low += sums[w][2 * thread];
    high += sums[w][2 * thread + 1];
  }
  ((u32*)(p.o + head * p.V + blockIdx.z * Columns))[thread] = pack(low / total, high / total);
}
