// The gated short convolution of Based and JRT-RNN: y = silu(conv(u)) w, where a row of the input is [u | w]. A thread has eight
// channels and a run of tokens, and keeps the last inputs in registers: every number is read once and written once.
#include "Device.cuh"

struct ConvolutionArguments {
  const bf16* x;         // [B, T, 2 I]
  const float* weight;   // [I, taps]; the last tap meets the current token
  const float* bias;     // [I], or null
  const float* before;   // the inputs before x, oldest first: [B, I, taps - 1]
  float* after;          // the last inputs of all
  bf16* y;               // [B, T, I]
  int B, T, I, taps;
  int run;               // tokens of a thread
};

constexpr int Channels = 8, MostTaps = 4, Past = MostTaps - 1;

DEVICE float silu(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(-1.4426950408889634f * x));
  return x / (1.f + power);
}

DEVICE void unpack(float (&values)[Channels], const bf16* at) {
  u32 words[4];
  loadGlobal(words, at);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    values[2 * i] = first(words[i]);
    values[2 * i + 1] = second(words[i]);
  }
}

// Blocks along x go through the channels, along y through the runs of a text, along z through the texts.
extern "C" __global__ void __launch_bounds__(128) gatedConvolution(const ConvolutionArguments p) {
  int channel = (blockIdx.x * 128 + threadIdx.x) * Channels, b = blockIdx.z, from = blockIdx.y * p.run;
  if (channel >= p.I) return;
  int until = from + p.run < p.T ? from + p.run : p.T, states = p.taps - 1;
  const bf16* x = p.x + (i64)b * p.T * 2 * p.I + channel;
  i64 state = ((i64)b * p.I + channel) * states;

  // As if there were four taps: weights and inputs before the first are zero.
  float weights[MostTaps][Channels], bias[Channels], past[Past][Channels];
#pragma unroll
  for (int c = 0; c < Channels; c++) {
    bias[c] = p.bias ? p.bias[channel + c] : 0.f;
#pragma unroll
    for (int i = 0; i < MostTaps; i++) {
      int tap = i - (MostTaps - p.taps);
      weights[i][c] = tap >= 0 ? p.weight[(channel + c) * p.taps + tap] : 0.f;
    }
#pragma unroll
    for (int i = 0; i < Past; i++) {
      int at = from - Past + i, tap = at + states;
      past[i][c] = at < 0 && tap >= 0 ? p.before[state + c * states + tap] : 0.f;
    }
  }
#pragma unroll
  for (int i = 0; i < Past; i++)
    if (from - Past + i >= 0) unpack(past[i], x + (i64)(from - Past + i) * 2 * p.I);

#pragma unroll 1
  for (int t = from; t < until; t++) {
    float now[Channels], gate[Channels], y[Channels];
    unpack(now, x + (i64)t * 2 * p.I);
    unpack(gate, x + (i64)t * 2 * p.I + p.I);
#pragma unroll
    for (int c = 0; c < Channels; c++) {
      float sum = bias[c] + weights[Past][c] * now[c];
#pragma unroll
      for (int i = 0; i < Past; i++) sum += weights[i][c] * past[i][c];
      y[c] = silu(sum) * gate[c];
#pragma unroll
      for (int i = 0; i < Past - 1; i++) past[i][c] = past[i + 1][c];
      past[Past - 1][c] = now[c];
    }
    storeGlobal(p.y + ((i64)b * p.T + t) * p.I + channel, pack(y[0], y[1]), pack(y[2], y[3]), pack(y[4], y[5]), pack(y[6], y[7]));
  }
  if (until < p.T) return;
#pragma unroll
  for (int c = 0; c < Channels; c++)
#pragma unroll
    for (int i = 0; i < Past; i++)
      if (i >= Past - states) p.after[state + c * states + i - (Past - states)] = past[i][c];
}
