// The gradients of prefix linear attention. With n = φ(q)S, d = φ(q)·z and o = n / d, let g = dO / d and r = -(dO·o) / d, the
// gradients of n and d. Then dq, dk and dv are sums over pairs of a token and one it reads, s = scale q·k:
//   dq = Σ (g·v + r) scale (1 + s) k,   dk = Σ (v·g + r) scale (1 + s) q,   dv = Σ (1 + s + s²/2) g.
// dv is prefix linear attention read backwards, without a normaliser, k for q, q for k, g for v. dq and dk are one sum, here:
//   dx_t = Σ_u (y_t·y'_u) scale (1 + s_tu) x'_u,
// in which y = [g | r r' 0 ..] meets y' = [v | 1 1 0 ..]: 16 columns more carry r, as two bfloat16 that add up to it.
#include "Taylor.cuh"

struct GradientArguments {
  const bf16 *x, *y, *yMore;             // read: [B, T, H, K], [B, T, H, V], [B, T, H, 16]; yMore null for ones
  const bf16 *xs, *ys, *ysMore;          // summed: likewise
  const bf16 *xFirst, *ysFirst;          // summed before all: [B, P, H, K], [B, P, H, V], with ones
  const bf16 *xLast, *yLast;             // read after all: [B, N, H, K], [B, N, H, V], with ones
  const float *S, *z;                    // the sums before: [B, H, F, V], [B, H, F]; null for nothing
  float *endS, *endZ;                    // the sums after all, or null
  bf16 *dx, *dxLast;                     // [B, T, H, K], [B, N, H, K]
  int T, P, N, H, V;
  int isReversed;                        // from the last token to the first; S and z are then gradients of a state
  float scale;
};

DEVICE int width(int V) { return V + 16; }
DEVICE int tileBytes(int V) { return 2 * KeyBytes + 2 * C * valueStride(width(V)); }

// S of 16 columns of y' as accumulators: of shift s features g and g + 8 in rows, columns 2 t, 2 t + 1 of either half.
struct State {
  float S[Shifts][2][4];
};

DEVICE void add(State& state, u32 keys, u32 values, u32 stride, int warp, int lane) {
  u32 keyAt = keys + keyOffset(lane & 15, lane >> 4), valueAt = values + (lane & 15) * stride + warp * 32 + (lane >> 4) * 16;
#pragma unroll
  for (int i = 0; i < C / 16; i++) {
    u32 k[4], y[4];
    loadTransposed(k, keyAt + i * 512);
    loadTransposed(y, valueAt + i * 16 * stride);
#pragma unroll
    for (int s = 0; s < Shifts; s++) {
      u32 p[4] = {k[0], k[1], k[2], k[3]}, one = lane < 4 ? 0x3F803F80u : 0u;
      if (s > 0 && s < 8) rotate(p, k, s, lane);
      u32 features[4] = {times(k[0], p[0]), times(k[2], p[2]), times(k[1], p[1]), times(k[3], p[3])};
      u32 last[4] = {times(k[0], k[2]), one, times(k[1], k[3]), one}, x[4] = {k[0], k[2], k[1], k[3]};
#pragma unroll
      for (int half = 0; half < 2; half++) multiplyAdd(state.S[s][half], s == 9 ? x : s == 8 ? last : features, y[2 * half], y[2 * half + 1]);
    }
  }
}

// Where an accumulator lies in memory; the 16 columns more have z in the first, and the same or nothing in the second.
DEVICE void load(State& state, const GradientArguments& p, i64 head, int warp, int lane) {
  int g = lane >> 2, t = lane & 3;
  bool isMore = warp * 16 == p.V;
#pragma unroll
  for (int s = 0; s < Shifts; s++)
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int row = packedRow(s, g + 8 * (e >> 1)), column = warp * 16 + 8 * n + 2 * t + (e & 1);
        float value = 0;
        if (p.S && row >= 0 && !isMore) value = p.S[(head * F + row) * p.V + column];
        if (p.S && row >= 0 && (column == p.V || (column == p.V + 1 && !p.isReversed))) value = p.z[head * F + row];
        state.S[s][n][e] = p.isReversed ? value / factor(p.scale, s, e >> 1) : value;
      }
}

DEVICE void store(const State& state, const GradientArguments& p, i64 head, int warp, int lane) {
  int g = lane >> 2, t = lane & 3;
  bool isMore = warp * 16 == p.V;
#pragma unroll
  for (int s = 0; s < Shifts; s++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      int row = packedRow(s, g + 8 * r);
      if (row < 0) continue;
      float by = p.isReversed ? factor(p.scale, s, r) : 1.f;
#pragma unroll
      for (int n = 0; n < 2; n++) {
        float a = by * state.S[s][n][2 * r], b = by * state.S[s][n][2 * r + 1];
        float* at = p.endS + (head * F + row) * p.V + warp * 16 + 8 * n + 2 * t;
        if (!isMore) at[0] = a;
        if (!isMore) at[1] = b;
        if (isMore && n == 0 && t == 0) p.endZ[head * F + row] = a + b;
      }
    }
}

// Rows m 16 .. m 16 + 15 by the tokens of their own tile up to each.
DEVICE void gradientByTile(float (&sum)[2][4], int m, const GradientArguments& p, u32 tile, u32 ys, u32 y, u32 stride, int lane) {
  int g = lane >> 2, t = lane & 3, columns = width(p.V) / 16;
  u32 x[4], xAt = tile + KeyBytes;
  loadMatrices(x, tile + m * 512 + keyOffset(lane & 15, lane >> 4));
#pragma unroll 1
  for (int i = 0; i <= m; i++) {
    u32 k[4];
    loadMatrices(k, xAt + i * 512 + keyOffset((lane & 7) + (lane >> 4 << 3), lane >> 3 & 1));
    float s[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}}, w[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
    multiplyAdd(s[0], x, k[0], k[1]);
    multiplyAdd(s[1], x, k[2], k[3]);
#pragma unroll 1
    for (int c = 0; c < columns; c++) {
      u32 a[4], b[4];
      loadMatrices(a, y + (m * 16 + (lane & 15)) * stride + c * 32 + (lane >> 4) * 16);
      loadMatrices(b, ys + (i * 16 + (lane & 7) + (lane >> 4 << 3)) * stride + c * 32 + (lane >> 3 & 1) * 16);
      multiplyAdd(w[0], a, b[0], b[1]);
      multiplyAdd(w[1], a, b[2], b[3]);
    }
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        w[n][e] *= p.scale + p.scale * p.scale * s[n][e];
        if (i == m && 8 * n + 2 * t + (e & 1) > g + 8 * (e >> 1)) w[n][e] = 0.f;
      }
    u32 a[4] = {pack(w[0][0], w[0][1]), pack(w[0][2], w[0][3]), pack(w[1][0], w[1][1]), pack(w[1][2], w[1][3])}, b[4];
    loadTransposed(b, xAt + i * 512 + keyOffset(lane & 15, lane >> 4));
    multiplyAdd(sum[0], a, b[0], b[1]);
    multiplyAdd(sum[1], a, b[2], b[3]);
  }
}

// Rows M 16 .. M 16 + 15 by the state in this warp's columns of y: with G = y Sᵀ the gradient of the features, a product
// x_i x_j gives G x_j to i and G x_i to j. A lane has a row's products in its own window, which starts at 2 t.
template <int M> DEVICE void gradientByState(float (&sum)[2][4], const State& state, const Windows& windows, u32 y, u32 stride, float scale, int warp, int lane) {
  int t = lane & 3;
  u32 a[4], x[2][8];
  loadMatrices(a, y + (M * 16 + (lane & 15)) * stride + warp * 32 + (lane >> 4) * 16);
  load<M>(x, windows);
  float d[2][K];
#pragma unroll
  for (int r = 0; r < 2; r++)
#pragma unroll
    for (int i = 0; i < K; i++) d[r][i] = 0;
#pragma unroll
  for (int s = 0; s < Shifts; s++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      if (s == 8 && half == 1) continue;   // the constant has no gradient, nor has padding
      float by = s == 9 ? scale : scale * scale, G[4] = {0, 0, 0, 0};
      const float(&low)[4] = state.S[s][0], (&high)[4] = state.S[s][1];
      multiplyAdd(G, a, pack(by * low[2 * half], by * low[2 * half + 1]), pack(by * high[2 * half], by * high[2 * half + 1]));
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int r = e >> 1, i = 8 * half + (e & 1), j = (i + s) & 15;
        float xi = i & 1 ? second(x[r][i >> 1]) : first(x[r][i >> 1]), xj = j & 1 ? second(x[r][j >> 1]) : first(x[r][j >> 1]);
        d[r][i] += s == 9 ? G[e] : G[e] * xj;
        if (s > 0 && s < 9) d[r][j] += G[e] * xi;
      }
    }
  // From windows to columns: a rotation by 2 t, then the four lanes' sums, of which each keeps columns 4 t .. 4 t + 3.
#pragma unroll
  for (int r = 0; r < 2; r++) {
    float e[K], f[K], half[K / 2];
#pragma unroll
    for (int i = 0; i < K; i++) e[i] = choose(t & 1, d[r][(i - 2) & 15], d[r][i]);
#pragma unroll
    for (int i = 0; i < K; i++) f[i] = choose(t & 2, e[(i - 4) & 15], e[i]);
#pragma unroll
    for (int i = 0; i < K / 2; i++) half[i] = choose(t & 2, f[8 + i], f[i]) + fromNeighbour(choose(t & 2, f[i], f[8 + i]), 2);
#pragma unroll
    for (int i = 0; i < K / 4; i++) sum[r][i] = choose(t & 1, half[4 + i], half[i]) + fromNeighbour(choose(t & 1, half[i], half[4 + i]), 1);
  }
}

extern "C" __global__ void __launch_bounds__(288) gradientOfFeatures(const GradientArguments p) {
  int thread = threadIdx.x, warp = thread >> 5, lane = thread & 31, warps = width(p.V) / 16, threads = warps * 32, h = blockIdx.x, b = blockIdx.y;
  int columns = width(p.V) / 8, row = thread / columns, column = thread % columns;
  u32 base = sharedAddress(), stride = valueStride(width(p.V));
  Order order = {p.P, p.T, p.N};
  bool reversed = p.isReversed;
  Rows x = rowsOf(p.x, b, h, p.T, p.H, K, reversed), xs = rowsOf(p.xs, b, h, p.T, p.H, K, reversed);
  Rows y = rowsOf(p.y, b, h, p.T, p.H, p.V, reversed), ys = rowsOf(p.ys, b, h, p.T, p.H, p.V, reversed);
  Rows yMore = rowsOf(p.yMore, b, h, p.T, p.H, 16, reversed), ysMore = rowsOf(p.ysMore, b, h, p.T, p.H, 16, reversed);
  Rows xFirst = rowsOf(p.xFirst, b, h, p.P, p.H, K, false), ysFirst = rowsOf(p.ysFirst, b, h, p.P, p.H, p.V, false);
  Rows xLast = rowsOf(p.xLast, b, h, p.N, p.H, K, false), yLast = rowsOf(p.yLast, b, h, p.N, p.H, p.V, false);
  Rows dx = rowsOf(p.dx, b, h, p.T, p.H, K, reversed), dxLast = rowsOf(p.dxLast, b, h, p.N, p.H, K, false);
  i64 head = (i64)b * p.H + h;
  State state;
  load(state, p, head, warp, lane);

  // A row of V numbers and 16 more: the last two of a row's threads copy those, or write ones where there are none.
  auto copyWide = [&](u32 to, Rows values, const bf16* hasMore, Rows more, int t, int n) {
    bool isMore = column >= p.V / 8;
    if (isMore && !hasMore)
#pragma unroll
      for (int i = 0; i < C; i += 16) storeShared(to + (row + i) * stride + column * 16, column == p.V / 8 ? 0x3F803F80u : 0u, 0u, 0u, 0u);
    else copyValues(to, stride, choose(isMore, Rows{more.start - p.V, more.step}, values), t, n, row, column);
    __syncwarp();   // the lanes went two ways
  };
  auto copy = [&](int i) {
    Tile tile = tileOf(order, i);
    u32 to = base + (i & 1) * tileBytes(p.V), wide = to + 2 * KeyBytes;
    bool isBoth = tile.isSummed && tile.isRead;
    if (tile.isRead) {
      copyKeys(to, choose(isBoth, x, xLast), tile.t, tile.n, threads);
      copyWide(wide, choose(isBoth, y, yLast), isBoth ? p.yMore : nullptr, yMore, tile.t, tile.n);
    }
    if (tile.isSummed) {
      copyKeys(to + KeyBytes, choose(isBoth, xs, xFirst), tile.t, tile.n, threads);
      copyWide(wide + C * stride, choose(isBoth, ys, ysFirst), isBoth ? p.ysMore : nullptr, ysMore, tile.t, tile.n);
    }
    endGroup();
  };
  int tiles = tilesOf(order);
  if (tiles > 0) copy(0);
#pragma unroll 1
  for (int i = 0; i < tiles; i++) {
    Tile now = tileOf(order, i);
    u32 tile = base + (i & 1) * tileBytes(p.V), wide = tile + 2 * KeyBytes, wides = wide + C * stride;
    if (i + 1 < tiles) {
      copy(i + 1);
      waitUntilLeft<1>();
    } else waitUntilLeft<0>();
    __syncthreads();   // the tile is there
    float byTile[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}}, byState[4][2][4];
    if (now.isRead) {
      // Four warps have rows of their own here, so there are at least so many.
      if (now.isSummed && warp < C / 16) gradientByTile(byTile, warp, p, tile, wides, wide, stride, lane);
      Windows windows = windowsOf(tile, lane);
      gradientByState<0>(byState[0], state, windows, wide, stride, p.scale, warp, lane);
      gradientByState<1>(byState[1], state, windows, wide, stride, p.scale, warp, lane);
      gradientByState<2>(byState[2], state, windows, wide, stride, p.scale, warp, lane);
      gradientByState<3>(byState[3], state, windows, wide, stride, p.scale, warp, lane);
    }
    if (now.isSummed) add(state, tile + KeyBytes, wides, stride, warp, lane);
    __syncthreads();   // nobody needs the tile any more: it takes the warps' sums, and then those by the tile
    if (!now.isRead) continue;
    int g = lane >> 2, t = lane & 3;
#pragma unroll
    for (int m = 0; m < 4; m++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const float(&s)[4] = byState[m][r];
        storeShared(tile + ((warp * C + m * 16 + g + 8 * r) * K + 4 * t) * 4, asBits(s[0]), asBits(s[1]), asBits(s[2]), asBits(s[3]));
      }
    if (warp < C / 16)
#pragma unroll
      for (int n = 0; n < 2; n++)
#pragma unroll
        for (int r = 0; r < 2; r++)
          storeShared(tile + ((warps * C + warp * 16 + g + 8 * r) * K + 8 * n + 2 * t) * 4, asBits(byTile[n][2 * r]), asBits(byTile[n][2 * r + 1]));
    __syncthreads();   // the sums are there
    Rows to = choose(now.isSummed, dx, dxLast);
    for (int e = thread; e < C * 4; e += threads) {
      float sum[4] = {0, 0, 0, 0};
      for (int w = 0; w <= warps; w++) {
        u32 part[4];
        loadShared(part, tile + (w * C * 4 + e) * 16);
#pragma unroll
        for (int j = 0; j < 4; j++) sum[j] += asFloat(part[j]);
      }
      if (e / 4 < now.n) storeGlobal(const_cast<bf16*>(to.start) + (now.t + e / 4) * to.step + e % 4 * 4, pack(sum[0], sum[1]), pack(sum[2], sum[3]));
    }
    __syncwarp();      // rows past the end went another way
    __syncthreads();   // nobody needs the sums any more
  }
  if (p.endS) store(state, p, head, warp, lane);
}

struct CotangentArguments {
  const bf16 *dO, *o;     // [rows, V]
  const float* norms;     // [rows]
  bf16 *g, *r;            // [rows, V], [rows, 16]
  i64 rows;
  int V;
};

// A row a warp: g = dO / d, and r = -(dO·o) / d as two bfloat16 and zeros.
extern "C" __global__ void __launch_bounds__(256) cotangents(const CotangentArguments p) {
  i64 row = (i64)blockIdx.x * 8 + (threadIdx.x >> 5);
  int lane = threadIdx.x & 31;
  if (row >= p.rows) return;
  const u32 *dO = (const u32*)(p.dO + row * p.V), *o = (const u32*)(p.o + row * p.V);
  float by = 1.f / p.norms[row], sum = 0;
  for (int i = lane; i < p.V / 2; i += 32) {
    u32 gradient = dO[i], output = o[i];
    sum += first(gradient) * first(output) + second(gradient) * second(output);
    ((u32*)(p.g + row * p.V))[i] = pack(by * first(gradient), by * second(gradient));
  }
  __syncwarp();
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) sum += fromNeighbour(sum, distance);
  float r = -by * sum, rest = r - first(pack(r, 0.f));
  if (lane < 8) ((u32*)(p.r + row * 16))[lane] = lane == 0 ? pack(r, rest) : 0u;
}
