// Keys of 16 numbers, the products of their pairs, and tiles of 64 tokens in shared memory.
#pragma once
#include "Device.cuh"

constexpr int K = 16, F = 1 + K + K * (K + 1) / 2;   // F: rows of a state in memory
constexpr int Shifts = 10;                           // groups of 16 features here: see packedRow
constexpr int C = 64;                                // tokens of a tile
constexpr int KeyBytes = C * K * 2;

// Feature i of shift s is x_i x_(i + s mod 16): shifts 0 to 7 are 16 products each, shift 8 the last 8 and then the constant
// at i = 8, shift 9 is x itself. So a feature is a rotation and a product, and 160 of them are ten steps of 16.
// The row that has it in memory, in the order 1, x_i, x_i x_j with j <= i; -1 where it is padding.
DEVICE int pairRow(int i, int j) {
  int larger = i > j ? i : j, smaller = i > j ? j : i;
  return 1 + K + larger * (larger + 1) / 2 + smaller;
}
DEVICE int packedRow(int s, int i) {
  if (s == 9) return 1 + i;
  if (s == 8 && i >= 8) return i == 8 ? 0 : -1;
  return pairRow(i, (i + s) & 15);
}

// What a feature of the queries carries besides, where q·k is scaled: (scale q·k)² / 2 = Σ over pairs, squares with a half.
DEVICE float factor(float scale, int s, int half) {
  return s == 9 ? scale : s == 8 && half == 1 ? 1.f : s == 0 ? 0.5f * scale * scale : scale * scale;
}

// Rows of 32 bytes: the halves change places every four rows, so that eight rows meet eight different groups of banks.
DEVICE u32 keyOffset(int row, int half) { return row * 32 + ((half ^ (row >> 2 & 1)) << 4); }

// Rows of V bf16 and 16 bytes more, an odd number of 16 bytes: eight rows meet eight different groups of banks.
DEVICE u32 valueStride(int V) { return 2 * V + 16; }

// A sequence of rows in memory, and the direction it is read in.
struct Rows {
  const bf16* start;
  i64 step;
};
DEVICE Rows rowsOf(const bf16* base, int b, int h, int T, int H, int width, bool isReversed) {
  i64 step = (i64)H * width;
  const bf16* start = base + (i64)b * T * step + h * width;
  return isReversed ? Rows{start + (T - 1) * step, -step} : Rows{start, step};
}

// Tokens one after another, a tile at a time: those that are only summed, those that are summed and read, those that only read.
struct Order {
  int summed, both, read;   // tokens of each kind
};
struct Tile {
  bool isSummed, isRead;
  int t, n;   // its first token among those of its kind, and how many it has
};
DEVICE int tilesOf(int tokens) { return (tokens + C - 1) / C; }
DEVICE int tilesOf(const Order& order) { return tilesOf(order.summed) + tilesOf(order.both) + tilesOf(order.read); }
DEVICE Tile tileOf(const Order& order, int i) {
  int both = tilesOf(order.summed), read = both + tilesOf(order.both);
  int t = C * (i < both ? i : i < read ? i - both : i - read), all = i < both ? order.summed : i < read ? order.both : order.read;
  return {i < read, i >= both, t, all - t < C ? all - t : C};
}
DEVICE int atMost(int tokens, int limit) { return tokens < 0 ? 0 : tokens < limit ? tokens : limit; }
// Of values, not of places: a choice between two variables would put both into memory.
DEVICE float choose(bool isFirst, float a, float b) { return isFirst ? a : b; }
DEVICE Rows choose(bool isFirst, Rows a, Rows b) { return {isFirst ? a.start : b.start, isFirst ? a.step : b.step}; }

// Copies the keys of n tokens from position t, and zeros up to a whole tile.
DEVICE void copyKeys(u32 to, Rows rows, int t, int n, int threads) {
  for (int e = threadIdx.x; e < 2 * C; e += threads) {
    int row = e >> 1, half = e & 1;
    bool exists = row < n;
    copy16(to + keyOffset(row, half), rows.start + (exists ? t + row : t) * rows.step + half * 8, exists);
  }
}

// The same of rows of `width` numbers, with `threads` = 2 * width threads, each of which has one 16-byte column.
DEVICE void copyValues(u32 to, u32 stride, Rows rows, int t, int n, int row, int column) {
#pragma unroll
  for (int i = 0; i < C; i += 16) {
    bool exists = row + i < n;
    copy16(to + (row + i) * stride + column * 16, rows.start + (exists ? t + row + i : t) * rows.step + column * 8, exists);
  }
}

// Reads 16 rows' own window of a tile of keys: y[r][j] is the pair x_(2 t + 2 j), x_(2 t + 2 j + 1) mod 16 of row g + 8 r.
struct Windows {
  u32 at[8];
};
DEVICE Windows windowsOf(u32 keys, int lane) {
  Windows windows;
#pragma unroll
  for (int j = 0; j < 8; j++) {
    int word = ((lane & 3) + j) & 7;
    windows.at[j] = keys + keyOffset(lane >> 2, word >> 2) + (word & 3) * 4;
  }
  return windows;
}
template <int M> DEVICE void load(u32 (&y)[2][8], const Windows& windows) {
#pragma unroll
  for (int j = 0; j < 8; j++) {
    y[0][j] = loadShared<M * 512>(windows.at[j]);
    y[1][j] = loadShared<M * 512 + 256>(windows.at[j]);
  }
}

// The features of 16 tokens of a tile of keys, as an operand [features, tokens]: r has what loadTransposed gave, x_i for i = g
// and tokens 2 t, 2 t + 1, then tokens 8 later, then both for i = g + 8; p receives x_(i + s) likewise.
DEVICE void rotate(u32 (&p)[4], const u32 (&r)[4], int s, int lane) {
  int g = lane >> 2, from = (((g + s) & 7) << 2) | (lane & 3);
  bool wraps = g + s >= 8;
  u32 x[4];
#pragma unroll
  for (int i = 0; i < 4; i++) x[i] = fromLane(r[i], from);
#pragma unroll
  for (int i = 0; i < 2; i++) {
    p[i] = wraps ? x[i + 2] : x[i];
    p[i + 2] = wraps ? x[i] : x[i + 2];
  }
}
