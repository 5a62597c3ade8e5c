// Prefix linear attention (arXiv 2407.05483): encoder tokens are summed into the state, then each decoder token is added and
// reads it. A block has one head, or a segment of it; warp w has columns 16 w .. 16 w + 15 of the values and of the state.
#include "Taylor.cuh"

struct ForwardArguments {
  const bf16 *q, *k, *v;        // decoder: [B, T, H, K], [B, T, H, K], [B, T, H, V]
  const bf16 *kEnc, *vEnc;      // summed before it: [B, P, H, K], [B, P, H, V]
  const bf16* qLast;            // read after it: [B, N, H, K]
  const float *S, *z;           // the state before: [B, H, slots, F, V], [B, H, slots, F]; null for nothing
  float *endS, *endZ;           // the state after, or null
  bf16 *o, *oLast;              // [B, T, H, V], [B, N, H, V]
  float* norms;                 // [B, T, H], or null
  int T, P, N, H, V;
  int segment, encSegment;      // tokens of a block along grid.z
  int slots, firstSlot;         // where a segment's state lies
  int isNormalised, isReversed; // reversed: from the last decoder token to the first, with S a gradient
  float scale;
};

constexpr float Epsilon = 1e-12f;
constexpr int WeightBytes = 10 * 512;   // the ten 16x16 blocks on and below the diagonal; 64 norms come after
DEVICE int tileBytes(int V) { return 2 * KeyBytes + C * valueStride(V); }

// Sᵀ of 16 columns as accumulators: tile 2 s + half has features 8 half + 2 t, + 1 of shift s in columns and values g, g + 8 in rows.
struct State {
  float S[2 * Shifts][4];
  float pairs[2][4], sums[2];   // Σ k kᵀ and Σ k, of which the normaliser is made
  float count;
};

DEVICE void add(State& state, u32 keys, u32 values, u32 stride, int warp, int lane) {
  u32 keyAt = keys + keyOffset(lane & 15, lane >> 4);
  u32 valueAt = values + ((lane & 7) + (lane >> 4 << 3)) * stride + warp * 32 + (lane >> 3 & 1) * 16;
#pragma unroll
  for (int i = 0; i < C / 16; i++) {
    u32 k[4], v[4];
    loadTransposed(k, keyAt + i * 512);
    loadTransposed(v, valueAt + i * 16 * stride);   // Vᵀ
#pragma unroll
    for (int s = 0; s < 8; s++) {
      u32 p[4] = {k[0], k[1], k[2], k[3]};
      if (s) rotate(p, k, s, lane);
      multiplyAdd(state.S[2 * s], v, times(k[0], p[0]), times(k[1], p[1]));
      multiplyAdd(state.S[2 * s + 1], v, times(k[2], p[2]), times(k[3], p[3]));
    }
    multiplyAdd(state.S[16], v, times(k[0], k[2]), times(k[1], k[3]));
    u32 one = lane < 4 ? 0x3F803F80u : 0u;
    multiplyAdd(state.S[17], v, one, one);
    multiplyAdd(state.S[18], v, k[0], k[1]);
    multiplyAdd(state.S[19], v, k[2], k[3]);
    u32 transposed[4] = {k[0], k[2], k[1], k[3]};
    multiplyAdd(state.pairs[0], transposed, k[0], k[1]);
    multiplyAdd(state.pairs[1], transposed, k[2], k[3]);
    state.sums[0] += (first(k[0]) + second(k[0])) + (first(k[1]) + second(k[1]));
    state.sums[1] += (first(k[2]) + second(k[2])) + (first(k[3]) + second(k[3]));
  }
}

DEVICE void load(State& state, const ForwardArguments& p, i64 slot, int warp, int lane) {
  int g = lane >> 2, t = lane & 3;
#pragma unroll
  for (int n = 0; n < 2 * Shifts; n++)
#pragma unroll
    for (int e = 0; e < 2; e++) {
      int row = packedRow(n >> 1, (n & 1) * 8 + 2 * t + e);
      bool exists = p.S && row >= 0;
      const float* at = p.S + (slot * F + row) * p.V + warp * 16 + g;
      // The gradient of the state is one by the queries' features, which carry the factor; here they are read by keys.
      float by = p.isReversed ? 1.f / factor(p.scale, n >> 1, n & 1) : 1.f;
      state.S[n][e] = exists ? by * at[0] : 0.f;
      state.S[n][e + 2] = exists ? by * at[8] : 0.f;
    }
  const float* z = p.z + slot * F;
#pragma unroll
  for (int n = 0; n < 2; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) state.pairs[n][e] = p.z ? z[pairRow(g + 8 * (e >> 1), 8 * n + 2 * t + (e & 1))] : 0.f;
  // Each lane has a part of a sum: the first of four has all of what was there before.
  bool isFirst = p.z && t == 0;
  state.sums[0] = isFirst ? z[1 + g] : 0.f;
  state.sums[1] = isFirst ? z[9 + g] : 0.f;
  state.count = p.z ? z[0] : 0.f;
}

DEVICE void store(const State& state, const ForwardArguments& p, i64 slot, int warp, int lane) {
  int g = lane >> 2, t = lane & 3;
#pragma unroll
  for (int n = 0; n < 2 * Shifts; n++)
#pragma unroll
    for (int e = 0; e < 2; e++) {
      int row = packedRow(n >> 1, (n & 1) * 8 + 2 * t + e);
      if (row < 0) continue;
      float* at = p.endS + (slot * F + row) * p.V + warp * 16 + g;
      at[0] = state.S[n][e];
      at[8] = state.S[n][e + 2];
    }
  if (warp > 0) return;
  float* z = p.endZ + slot * F;
#pragma unroll
  for (int n = 0; n < 2; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) {
      int i = g + 8 * (e >> 1), j = 8 * n + 2 * t + (e & 1);
      if (j <= i) z[pairRow(i, j)] = state.pairs[n][e];
    }
  float low = quadSum(state.sums[0]), high = quadSum(state.sums[1]);
  if (t == 0) z[1 + g] = low;
  if (t == 0) z[9 + g] = high;
  if (lane == 0) z[0] = state.count;
}

// The normaliser that the state gives to rows g and g + 8 of 16 queries: count + scale q·Σk + scale² / 2 qᵀ(Σkkᵀ)q, a part in
// each of four lanes, the count left out.
DEVICE void normsByState(float (&norms)[2], const State& state, const u32 (&q)[4], float scale, int lane) {
  int t = lane & 3;
  u32 low = asBits(quadSum(state.sums[0])), high = asBits(quadSum(state.sums[1]));
  float sums[4] = {
    asFloat(fromLane(low, 8 * t)), asFloat(fromLane(low, 8 * t + 4)), asFloat(fromLane(high, 8 * t)), asFloat(fromLane(high, 8 * t + 4))};
  float left[4] = {0, 0, 0, 0}, right[4] = {0, 0, 0, 0};   // q Σkkᵀ
  multiplyAdd(left, q, pack(state.pairs[0][0], state.pairs[0][1]), pack(state.pairs[1][0], state.pairs[1][1]));
  multiplyAdd(right, q, pack(state.pairs[0][2], state.pairs[0][3]), pack(state.pairs[1][2], state.pairs[1][3]));
  float half = 0.5f * scale * scale;
#pragma unroll
  for (int r = 0; r < 2; r++)
    norms[r] += first(q[r]) * (scale * sums[0] + half * left[2 * r]) + second(q[r]) * (scale * sums[1] + half * left[2 * r + 1])
      + first(q[2 + r]) * (scale * sums[2] + half * right[2 * r]) + second(q[2 + r]) * (scale * sums[3] + half * right[2 * r + 1]);
}

// What the tile itself gives to its queries m 16 .. m 16 + 15: the weights 1 + s + s²/2 of the tokens up to each, as operands in
// shared memory, and one over the normaliser.
DEVICE void weigh(int m, const ForwardArguments& p, const State& state, u32 tile, u32 weights, u32 norms, float* normOut, int n, int lane) {
  int g = lane >> 2, t = lane & 3;
  float sums[2] = {0, 0};
  u32 q[4];
  loadMatrices(q, tile + m * 512 + keyOffset(lane & 15, lane >> 4));
  u32 keyAt = tile + KeyBytes + keyOffset((lane & 7) + (lane >> 4 << 3), lane >> 3 & 1);
  u32 weightAt = weights + m * (m + 1) / 2 * 512 + lane * 16;
  float half = 0.5f * p.scale * p.scale;
#pragma unroll 1
  for (int i = 0; i <= m; i++) {
    u32 k[4];
    loadMatrices(k, keyAt + i * 512);
    float w[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
    multiplyAdd(w[0], q, k[0], k[1]);
    multiplyAdd(w[1], q, k[2], k[3]);
#pragma unroll
    for (int c = 0; c < 2; c++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        w[c][e] = (w[c][e] * half + p.scale) * w[c][e] + 1.f;
        if (i == m && 8 * c + 2 * t + (e & 1) > g + 8 * (e >> 1)) w[c][e] = 0.f;
        sums[e >> 1] += w[c][e];
      }
    storeShared(weightAt + i * 512, pack(w[0][0], w[0][1]), pack(w[0][2], w[0][3]), pack(w[1][0], w[1][1]), pack(w[1][2], w[1][3]));
  }
  if (!p.isNormalised) return;
  normsByState(sums, state, q, p.scale, lane);
#pragma unroll
  for (int r = 0; r < 2; r++) {
    float norm = quadSum(sums[r]) + state.count + Epsilon;
    int row = m * 16 + g + 8 * r;
    if (t == 0) storeShared(norms + row * 4, asBits(1.f / norm));
    if (t == 0 && normOut && row < n) normOut[row * p.H] = norm;
  }
  __syncwarp();   // the next rows begin with all lanes
}

// The lane whose number has the bit gives a and gets b of the other.
DEVICE void exchange(u32& a, u32& b, bool hasBit, int bit) {
  u32 received = fromNeighbour(hasBit ? a : b, bit);
  a = hasBit ? received : a;
  b = hasBit ? b : received;
}

// The outputs of queries M 16 .. M 16 + 15 in this warp's columns: by the tile's tokens where it has any, and by the state.
template <int M>
DEVICE void read(
    const Windows& windows, bool isCausal, u32 weights, const u32 (&v)[4][4], const u32 (&S)[Shifts][2][2], bool isNormalised, u32 norms,
    bf16* o, i64 step, int n, int lane) {
  float sum[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
  u32 y[2][8];
  load<M>(y, windows);
  if (isCausal) {
#pragma unroll
    for (int i = 0; i <= M; i++) {
      u32 w[4];
      loadShared(w, weights + (M * (M + 1) / 2 + i) * 512 + lane * 16);
      multiplyAdd(sum[0], w, v[i][0], v[i][1]);
      multiplyAdd(sum[1], w, v[i][2], v[i][3]);
    }
  }
#pragma unroll
  for (int s = 0; s < 8; s++) {
    u32 a[4];
#pragma unroll
    for (int r = 0; r < 2; r++) {
      int j = s >> 1;
      a[r] = times(y[r][0], s & 1 ? across(y[r][j], y[r][j + 1]) : y[r][j]);
      a[2 + r] = times(y[r][4], s & 1 ? across(y[r][j + 4 & 7], y[r][j + 5 & 7]) : y[r][j + 4 & 7]);
    }
    multiplyAdd(sum[0], a, S[s][0][0], S[s][0][1]);
    multiplyAdd(sum[1], a, S[s][1][0], S[s][1][1]);
  }
  u32 one = (lane & 3) == 0 ? 0x3F80u : 0u;
  u32 last[4] = {times(y[0][0], y[0][4]), times(y[1][0], y[1][4]), one, one};
  multiplyAdd(sum[0], last, S[8][0][0], S[8][0][1]);
  multiplyAdd(sum[1], last, S[8][1][0], S[8][1][1]);
  u32 x[4] = {y[0][0], y[1][0], y[0][4], y[1][4]};
  multiplyAdd(sum[0], x, S[9][0][0], S[9][0][1]);
  multiplyAdd(sum[1], x, S[9][1][0], S[9][1][1]);

  int g = lane >> 2, t = lane & 3;
  u32 words[4];
#pragma unroll
  for (int r = 0; r < 2; r++) {
    float by = isNormalised ? asFloat(loadShared<M * 64>(norms + (g + 8 * r) * 4)) : 1.f;
    words[2 * r] = pack(sum[0][2 * r] * by, sum[0][2 * r + 1] * by);
    words[2 * r + 1] = pack(sum[1][2 * r] * by, sum[1][2 * r + 1] * by);
  }
  // Four lanes have a row's 32 bytes in pieces of 4. They are exchanged, so that each stores 16 and a sector is written whole.
  exchange(words[0], words[1], t & 1, 1);
  exchange(words[2], words[3], t & 1, 1);
  exchange(words[0], words[2], t & 2, 2);
  exchange(words[1], words[3], t & 2, 2);
  int row = M * 16 + g + 8 * (t >> 1);
  if (row < n) storeGlobal(o + row * step + (t & 1) * 8, words[0], words[1], words[2], words[3]);
}

extern "C" __global__ void __launch_bounds__(256) prefixLinearAttention(const ForwardArguments p) {
  int thread = threadIdx.x, threads = 2 * p.V, warp = thread >> 5, lane = thread & 31, h = blockIdx.x, b = blockIdx.y;
  int columns = p.V / 8, valueRow = thread / columns, valueColumn = thread % columns;
  u32 base = sharedAddress(), stride = valueStride(p.V), weights = base + 2 * tileBytes(p.V), norms = weights + WeightBytes;
  int from = blockIdx.z * p.segment, encFrom = blockIdx.z * p.encSegment;
  Order order = {atMost(p.P - encFrom, p.encSegment), atMost(p.T - from, p.segment), p.N};
  Rows kEnc = rowsOf(p.kEnc, b, h, p.P, p.H, K, false), vEnc = rowsOf(p.vEnc, b, h, p.P, p.H, p.V, false);
  Rows q = rowsOf(p.q, b, h, p.T, p.H, K, p.isReversed), k = rowsOf(p.k, b, h, p.T, p.H, K, p.isReversed);
  Rows v = rowsOf(p.v, b, h, p.T, p.H, p.V, p.isReversed), qLast = rowsOf(p.qLast, b, h, p.N, p.H, K, false);
  Rows o = rowsOf(p.o, b, h, p.T, p.H, p.V, p.isReversed), oLast = rowsOf(p.oLast, b, h, p.N, p.H, p.V, false);

  i64 slot = (i64)(b * p.H + h) * p.slots + p.firstSlot + blockIdx.z;
  State state;
  load(state, p, slot, warp, lane);

  auto copy = [&](int i) {
    Tile tile = tileOf(order, i);
    u32 to = base + (i & 1) * tileBytes(p.V);
    bool isDecoder = tile.isSummed && tile.isRead;
    int at = tile.t + (isDecoder ? from : tile.isSummed ? encFrom : 0);
    if (tile.isRead) copyKeys(to, choose(isDecoder, q, qLast), at, tile.n, threads);
    if (tile.isSummed) {
      copyKeys(to + KeyBytes, choose(isDecoder, k, kEnc), at, tile.n, threads);
      copyValues(to + 2 * KeyBytes, stride, choose(isDecoder, v, vEnc), at, tile.n, valueRow, valueColumn);
    }
    endGroup();
  };
  int tiles = tilesOf(order);
  if (tiles > 0) copy(0);
#pragma unroll 1
  for (int i = 0; i < tiles; i++) {
    Tile now = tileOf(order, i);
    u32 tile = base + (i & 1) * tileBytes(p.V), keys = tile + KeyBytes, values = keys + KeyBytes;
    if (i + 1 < tiles) {
      copy(i + 1);
      waitUntilLeft<1>();
    } else waitUntilLeft<0>();
    __syncthreads();   // the tile is there
    if (now.isRead) {
      bool isCausal = now.isSummed;
      int at = isCausal ? from + now.t : now.t;
      if (isCausal)
#pragma unroll 1
        for (int m = warp; m < C / 16; m += threads / 32)
          weigh(m, p, state, tile, weights, norms, p.norms ? p.norms + ((i64)b * p.T + at) * p.H + h : nullptr, now.n, lane);
      u32 S[Shifts][2][2];
#pragma unroll
      for (int s = 0; s < Shifts; s++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
          float by = factor(p.scale, s, half);
          const float (&from)[4] = state.S[2 * s + half];
          S[s][0][half] = pack(by * from[0], by * from[1]);
          S[s][1][half] = pack(by * from[2], by * from[3]);
        }
      __syncthreads();   // the weights are there
      u32 v[4][4];
      if (isCausal)
#pragma unroll
        for (int j = 0; j < C / 16; j++) loadTransposed(v[j], values + (j * 16 + (lane & 15)) * stride + warp * 32 + (lane >> 4) * 16);
      Rows to = choose(isCausal, o, oLast);
      bf16* out = const_cast<bf16*>(to.start) + at * to.step + warp * 16;
      Windows windows = windowsOf(tile, lane);
      bool isNormalised = p.isNormalised && isCausal;
      read<0>(windows, isCausal, weights, v, S, isNormalised, norms, out, to.step, now.n, lane);
      read<1>(windows, isCausal, weights, v, S, isNormalised, norms, out, to.step, now.n, lane);
      read<2>(windows, isCausal, weights, v, S, isNormalised, norms, out, to.step, now.n, lane);
      read<3>(windows, isCausal, weights, v, S, isNormalised, norms, out, to.step, now.n, lane);
    }
    if (now.isSummed) {
      add(state, keys, values, stride, warp, lane);
      state.count += (float)now.n;
    }
    __syncthreads();   // nobody needs the tile any more
  }
  if (p.endS) store(state, p, slot, warp, lane);
}

struct ScanArguments {
  float *S, *z;               // sums of segments -> the state before each: [B H, slots, F, V], [B H, slots, F]
  const float *firstS, *firstZ;   // the state before the first segment, or null
  float *endS, *endZ;         // the state after the last
  int slots, V;
};

// One number of a state a thread: blocks along x go through S and then z, along y through the heads.
extern "C" __global__ void __launch_bounds__(256) scanStates(const ScanArguments p) {
  int i = blockIdx.x * 256 + threadIdx.x, inS = F * p.V;
  if (i >= inS + F) return;
  int width = i < inS ? inS : F, at = i < inS ? i : i - inS;
  i64 head = blockIdx.y;
  const float* start = i < inS ? p.firstS : p.firstZ;
  float* states = (i < inS ? p.S : p.z) + head * p.slots * width + at;
  float sum = start ? start[head * width + at] : 0.f;
  for (int slot = 0; slot < p.slots; slot++) {
    float own = states[(i64)slot * width];
    states[(i64)slot * width] = sum;
    sum += own;
  }
  (i < inS ? p.endS : p.endZ)[head * width + at] = sum;
}
